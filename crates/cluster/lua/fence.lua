-- A lane's epoch. A process that takes a lane over (after a failover, a restart, a restore) may have lost its latest
-- positions. It begins a new epoch, and writes down from which position on, so that whoever holds a lost one is told.

-- Further back nobody can be told exactly; who comes with a position of an older epoch must reload.
local EPOCHS_MAX = 256

-- Of this process, and of its present time as a master. The process alone is not enough: one that was cut off, went behind
-- another and is promoted again has lost what it alone had, and nobody need have called upon the other meanwhile. Its
-- replication id is another after each promotion.
local own_run, asked_ms = nil, 0

-- To be demoted and promoted takes longer, and asking ten times a second costs nothing.
local RUN_MS_MAX = 100

local function run()
  local now = now_ms()
  if not own_run or now < asked_ms or now - asked_ms >= RUN_MS_MAX then
    asked_ms = now
    own_run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
      .. ':' .. string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
  end
  return own_run
end

-- Where the lane stands, in an epoch of this process. `meta` is a hash:
--   run, epoch     the process that began the present epoch
--   epochs         "epoch:first position" of each, oldest first
--   pos, ts        of the latest message
--   fseq, fpos     rooms that were forgotten stood at most here
local function fenced(meta)
  local at = redis.call('HMGET', meta, 'run', 'epoch', 'pos', 'ts', 'fseq', 'fpos')
  local lane = {
    epoch = tonumber(at[2] or 0),
    pos = tonumber(at[3] or 0),
    ts = tonumber(at[4] or 0),
    fseq = tonumber(at[5] or 0),
    fpos = tonumber(at[6] or 0),
  }
  if at[1] == run() then
    return lane
  end
  lane.epoch = math.max(lane.epoch + 1, now_ms())
  local epochs = {}
  for epoch in string.gmatch(redis.call('HGET', meta, 'epochs') or '', '%S+') do
    epochs[#epochs + 1] = epoch
  end
  epochs[#epochs + 1] = text(lane.epoch) .. ':' .. text(lane.pos + 1)
  while #epochs > EPOCHS_MAX do
    table.remove(epochs, 1)
  end
  redis.call('HSET', meta, 'run', run(), 'epoch', text(lane.epoch), 'epochs', table.concat(epochs, ' '))
  return lane
end

-- The last position of that epoch that was kept. Nothing if the epoch is not one of this lane's.
local function last_of(meta, lane, epoch)
  if epoch == lane.epoch then
    return lane.pos
  end
  local found = false
  for known, first in string.gmatch(redis.call('HGET', meta, 'epochs') or '', '(%d+):(%d+)') do
    if found then
      return tonumber(first) - 1
    end
    found = tonumber(known) == epoch
  end
  return nil
end
