-- What: an index on the completed runs of schedules; the function that makes schedules is nobody's but its owner's.
-- Why: such runs are nearly all there are and are kept for days only, and finding those days' end must not walk over what
--      is kept for a month. `muster.set_schedules` acts with its owner's rights and checks none of its caller's; the triggers
--      that need it are its owner's, too.
-- Safe beside the running version: yes, but nobody can write to muster.run until the migration has ended, as with the seven
--      indexes of 0009 and 0011 on their tables; what waits there too long is tried again.

set local lock_timeout = '2s';

create index run_finished_scheduled on muster.run (finished_at) where requested_by = 'schedule' and state = 'completed';
revoke execute on function muster.set_schedules(uuid, uuid, boolean) from public;
