//! A node's small disk: full, and free again.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};

use super::PrivateBroker;
use crate::disk::SmallDisk;

/// A node that is well has taken a message sooner.
const WELL_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const STEP: Duration = Duration::from_millis(200);
/// Takes the message that shows it.
const WELL: &str = "well";

impl PrivateBroker {
    /// Leaves no byte free on its disk.
    ///
    /// # Panics
    /// If it has no disk of its own.
    pub fn fill_disk(&self) {
        self.small_disk().fill();
    }

    /// Whether a byte more fits on its disk.
    ///
    /// # Panics
    /// If it has no disk of its own.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.small_disk().has_room()
    }

    fn small_disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("ask for a disk: the other one is everybody's")
    }

    /// Ends [`PrivateBroker::fill_disk`], and starts the node anew where it has given up; whether it had.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn empty_disk(&mut self) -> bool {
        self.small_disk().empty();
        let is_well = async {
            while self.take_message().await.is_err() {
                tokio::time::sleep(STEP).await;
            }
        };
        if tokio::time::timeout(WELL_WITHIN, is_well).await.is_ok() {
            return false;
        }
        // one that cannot write any more may not be able to stop either
        self.kill_at_once();
        self.start_again().await;
        true
    }

    /// Has it take a message into a new quorum queue.
    async fn take_message(&self) -> Result<(), String> {
        let channel = self.client.try_channel().await.map_err(|error| error.to_string())?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let taken = async {
            channel.queue_declare(WELL.into(), QueueDeclareOptions::durable(), arguments).await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let options = BasicPublishOptions::default();
            let durable = lapin::BasicProperties::default().with_delivery_mode(2);
            let confirm =
                channel.basic_publish("".into(), WELL.into(), options, WELL.as_bytes(), durable).await?.await?;
            channel.queue_delete(WELL.into(), QueueDeleteOptions::default()).await?;
            Ok::<_, lapin::Error>(confirm)
        };
        match taken.await {
            Ok(confirm) if confirm.is_ack() => Ok(()),
            Ok(_) => Err("it refuses a message".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}
