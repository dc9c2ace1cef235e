-- Messages of rooms: publishing, comparing, reading, forgetting.
--
-- KEYS of a lane, always in this order: meta, heads, then as each function says.
--   heads          hash: room -> "seq pos epoch ts bytes touched" of its latest message; `bytes` of all that are kept,
--                  `touched` when its log was last given time to live
--   log of a room  stream: entry "<pos>-0" with one field, a frame
--   ids            three hashes in turn, each for half a window: digest of sender and id -> "epoch seq ts attempt"; the field "#"
--                  says for which half window it is
--
-- A frame is the same bytes in the log and on the bus: kind, flags, then 8 bytes each, highest first: epoch, seq, pos,
-- position of the room's message before it, ts; then what the node sent, as it is. See src/redis/frame.rs.
do
  local KIND_MESSAGE = 1
  local FLAG_FIRST = 1 -- the room was not remembered before it
  local HEADER_BYTES = 42
  local SEQ_AT = 11
  local POS_AT = 19
  local TS_AT = 35

  local function head_of(heads, room)
    local found = redis.call('HGET', heads, room)
    if not found then
      return nil
    end
    local seq, pos, epoch, ts, bytes, touched = string.match(found, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)')
    return {
      seq = tonumber(seq),
      pos = tonumber(pos),
      epoch = tonumber(epoch),
      ts = tonumber(ts),
      bytes = tonumber(bytes),
      touched = tonumber(touched),
    }
  end

  -- What an id was answered with, and the key that says so.
  local function seen(ids, half, id)
    for back = 0, 2 do
      local key = ids[(half - back) % 3 + 1]
      local found = redis.call('HMGET', key, '#', id)
      if found[2] and found[1] == text(half - back) then
        return found[2], key
      end
    end
    return nil
  end

  local function remember(ids, half, window_ms, id, answer)
    local key = ids[half % 3 + 1]
    if redis.call('HGET', key, '#') ~= text(half) then
      redis.call('UNLINK', key)
      redis.call('HSET', key, '#', text(half), id, answer)
      redis.call('PEXPIRE', key, 2 * window_ms)
    else
      redis.call('HSET', key, id, answer)
    end
  end

  -- Takes everything up to this position off the log.
  local function drop(log, pos)
    redis.call('XTRIM', log, 'MINID', text(pos + 1) .. '-0')
  end

  local function pos_of(entry)
    return tonumber(string.match(entry[1], '^%d+'))
  end

  -- Takes the oldest messages off the log until it is within its limits; the latest always stays. Gives the bytes left.
  local function shorten(log, kept, bytes, messages_max, bytes_max)
    local dropped = 0
    local function is_over()
      return kept > 1 and (kept > messages_max or bytes > bytes_max)
    end
    while is_over() do
      local count = math.max(kept - messages_max, 16)
      for _, entry in ipairs(redis.call('XRANGE', log, text(dropped + 1), '+', 'COUNT', count)) do
        if not is_over() then
          break
        end
        dropped = pos_of(entry)
        kept = kept - 1
        bytes = math.max(bytes - #entry[2][2], 0)
      end
    end
    drop(log, dropped)
    return bytes
  end

  -- Takes off what is too old, a bounded number at a time. Gives its bytes.
  local function shorten_by_age(log, oldest_ts)
    local bytes, dropped = 0, 0
    for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', 512)) do
      if struct.unpack('>I8', entry[2][2], TS_AT) >= oldest_ts then
        break
      end
      dropped = pos_of(entry)
      bytes = bytes + #entry[2][2]
    end
    if dropped > 0 then
      drop(log, dropped)
    end
    return bytes
  end

  -- KEYS: meta, heads, the room's log, ids, ids, ids
  -- ARGV: room, channel, id, name of this attempt, id of the publication that must have gone before or nothing, window_ms,
  --       messages_max, bytes_max, age_ms_max, payload
  -- Gives 0 and epoch, seq, ts, also if this very attempt has been here before; 1 and what the first was given; 2 if the
  -- publication before is missing.
  local function publish(keys, args)
    local meta, heads, log = keys[1], keys[2], keys[3]
    local ids = { keys[4], keys[5], keys[6] }
    local room, channel, id, attempt, before = args[1], args[2], args[3], args[4], args[5]
    local window_ms, messages_max = tonumber(args[6]), tonumber(args[7])
    local bytes_max, age_ms_max = tonumber(args[8]), tonumber(args[9])

    local lane = fenced(meta)
    local now = now_ms()
    local half = math.floor(now / (window_ms / 2))

    local answer, key = seen(ids, half, id)
    if answer then
      -- Written again as it is: the WAIT that follows covers what this connection has written, and the first answer may
      -- have come over another.
      redis.call('HSET', key, id, answer)
      local epoch, seq, ts, by = string.match(answer, '(%d+) (%d+) (%d+) (.*)')
      return { by == attempt and 0 or 1, tonumber(epoch), tonumber(seq), tonumber(ts) }
    end
    if before ~= '' and not seen(ids, half, before) then
      return { 2 }
    end

    local head = head_of(heads, room)
    local flags = 0
    local prev, touched, bytes = lane.fpos, 0, 0
    local seq = lane.fseq + 1
    if head then
      seq, prev, touched, bytes = head.seq + 1, head.pos, head.touched, head.bytes
    else
      flags = FLAG_FIRST
    end
    local pos = lane.pos + 1
    -- The clock may be set back; a lane's messages stay in order by time as well.
    local ts = math.max(now, lane.ts)

    local frame = struct.pack('>BBI8I8I8I8I8', KIND_MESSAGE, flags, lane.epoch, seq, pos, prev, ts) .. args[10]
    redis.call('XADD', log, text(pos) .. '-0', 'm', frame)
    local kept = redis.call('XLEN', log)
    bytes = kept == 1 and #frame or bytes + #frame
    -- A few at a time, because looking at them costs more than taking them off.
    if kept > messages_max + messages_max / 8 or (bytes > bytes_max and kept > 1) then
      bytes = shorten(log, kept, bytes, messages_max, bytes_max)
    end
    if kept == 1 or now - touched > age_ms_max / 8 then
      bytes = math.max(bytes - shorten_by_age(log, now - age_ms_max), 0)
      redis.call('PEXPIRE', log, math.floor(age_ms_max * 1.25))
      touched = now
    end
    redis.call('HSET', meta, 'pos', text(pos), 'ts', text(ts))
    redis.call('HSET', heads, room,
      table.concat({ text(seq), text(pos), text(lane.epoch), text(ts), text(bytes), text(touched) }, ' '))
    remember(ids, half, window_ms, id, table.concat({ text(lane.epoch), text(seq), text(ts), attempt }, ' '))
    redis.call('SPUBLISH', channel, frame)
    return { 0, lane.epoch, seq, ts }
  end
  redis.register_function('turnpike_publish', publish)

  -- KEYS: meta, heads
  -- ARGV: epoch and position up to which the asker has seen all rooms that it names, then pairs of a room and what the asker
  --       knows of its head: "seq pos epoch", or nothing if it knows of none
  -- Gives epoch, pos, fseq, fpos, epochs, then pairs of an index and the head of each room that differs.
  local function audit(keys, args)
    local meta, heads = keys[1], keys[2]
    local lane = fenced(meta)
    local epoch_known, pos_known = tonumber(args[1]), tonumber(args[2])
    local epochs = epoch_known == lane.epoch and '' or redis.call('HGET', meta, 'epochs')
    local answer = { lane.epoch, lane.pos, lane.fseq, lane.fpos, epochs }
    if epoch_known == lane.epoch and pos_known == lane.pos then
      return answer
    end
    local at = 3
    while at < #args do
      local rooms = {}
      for index = at, math.min(at + 998, #args - 1), 2 do
        rooms[#rooms + 1] = args[index]
      end
      local found = redis.call('HMGET', heads, unpack(rooms))
      for index = 1, #rooms do
        local known = args[at + 2 * index - 1]
        local head = found[index] or ''
        if string.match(head, '^%d+ %d+ %d+') ~= (known ~= '' and known or nil) then
          answer[#answer + 1] = (at - 3) / 2 + index - 1
          answer[#answer + 1] = head
        end
      end
      at = at + 2 * #rooms
    end
    return answer
  end
  redis.register_function('turnpike_audit', audit)

  -- Entries oldest first, as many as fit; whether there are more.
  local function forward(entries, messages_max, bytes_max)
    local frames, bytes = {}, 0
    for _, entry in ipairs(entries) do
      local frame = entry[2][2]
      bytes = bytes + #frame
      if #frames > 0 and (#frames >= messages_max or bytes > bytes_max) then
        return frames, true
      end
      frames[#frames + 1] = frame
    end
    return frames, false
  end

  -- Where a message of this number stands, between the oldest that is kept and the head. Numbers have no gaps and positions rise,
  -- so a few looks are enough, however long the log is: by turns where it would be if the room's messages were evenly spread
  -- over the lane, and in the middle.
  local function place_of(log, oldest, head, seq)
    local low_seq, low_pos = struct.unpack('>I8', oldest, SEQ_AT), struct.unpack('>I8', oldest, POS_AT)
    local high_seq, high_pos = head.seq, head.pos
    local evenly = true
    while low_seq < seq and seq < high_seq do
      local share = evenly and (seq - low_seq) / (high_seq - low_seq) or 0.5
      evenly = not evenly
      local pos = low_pos + math.max(math.floor((high_pos - low_pos) * share), 1)
      local entry = redis.call('XRANGE', log, text(pos), '+', 'COUNT', 1)[1]
      local found = struct.unpack('>I8', entry[2][2], SEQ_AT)
      if found <= seq then
        low_seq, low_pos = found, pos_of(entry)
      else
        -- Whatever is before it is before the place that was looked at.
        high_seq, high_pos = found - 1, pos - 1
      end
    end
    if seq <= low_seq then
      return low_pos
    end
    return pos_of(redis.call('XREVRANGE', log, text(high_pos), '-', 'COUNT', 1)[1])
  end

  -- Entries newest first; given oldest first.
  local function backward(entries, messages_max, bytes_max)
    local newest, bytes, more = {}, 0, false
    for index = 1, #entries do
      local frame = entries[index][2][2]
      bytes = bytes + #frame
      if #newest > 0 and (#newest >= messages_max or bytes > bytes_max) then
        more = true
        break
      end
      newest[#newest + 1] = frame
    end
    local frames = {}
    for index = #newest, 1, -1 do
      frames[#frames + 1] = newest[index]
    end
    return frames, more
  end

  -- KEYS: meta, heads, the room's log
  -- ARGV: room, what the number means (after, lane, seq, before), number, epoch, messages_max, bytes_max
  -- Gives epoch, pos, fseq, fpos, the head or nothing, how many messages are kept, the header of the oldest or nothing, the
  -- last position of the asker's epoch or -1, the number of the first message behind that or 0, whether there are more, and
  -- frames.
  local function read(keys, args)
    local meta, heads, log = keys[1], keys[2], keys[3]
    local room, range, number, epoch = args[1], args[2], tonumber(args[3]), tonumber(args[4])
    local messages_max, bytes_max = tonumber(args[5]), tonumber(args[6])
    local lane = fenced(meta)
    local found = redis.call('HGET', heads, room) or ''
    local head = head_of(heads, room)
    local kept, oldest = 0, ''
    if head then
      kept = redis.call('XLEN', log)
      if kept > 0 then
        oldest = string.sub(redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1][2][2], 1, HEADER_BYTES)
      end
    end
    local last = -1
    if range == 'after' or range == 'lane' then
      last = last_of(meta, lane, epoch) or -1
    end
    local first_behind, more, frames = 0, false, {}
    if kept > 0 then
      local lost_seq = head.seq - kept
      if range == 'before' then
        local last_seq = math.min(number - 1, head.seq)
        if last_seq > lost_seq then
          local from = text(place_of(log, oldest, head, last_seq))
          frames, more = backward(redis.call('XREVRANGE', log, from, '-', 'COUNT', messages_max + 1), messages_max, bytes_max)
        end
      else
        local from = '-'
        local after_seq = lost_seq
        if range == 'seq' then
          after_seq = number
        elseif last >= 0 and range == 'lane' then
          from = text(math.min(number, last) + 1)
        elseif last >= 0 then
          after_seq = number
          local behind = redis.call('XRANGE', log, text(last + 1), '+', 'COUNT', 1)[1]
          if behind then
            first_behind = struct.unpack('>I8', behind[2][2], SEQ_AT)
            if first_behind <= number then
              from = behind[1]
              after_seq = lost_seq
            end
          end
        end
        if after_seq > lost_seq and after_seq < head.seq then
          from = text(place_of(log, oldest, head, after_seq + 1))
        end
        if after_seq < head.seq then
          frames, more = forward(redis.call('XRANGE', log, from, '+', 'COUNT', messages_max + 1), messages_max, bytes_max)
        end
      end
    end
    local answer = { lane.epoch, lane.pos, lane.fseq, lane.fpos, found, kept, oldest, last, first_behind, more and 1 or 0 }
    for _, frame in ipairs(frames) do
      answer[#answer + 1] = frame
    end
    return answer
  end
  redis.register_function('turnpike_read', read)

  -- KEYS: meta, heads
  -- ARGV: cursor, count
  -- Gives epoch, pos, the next cursor, then pairs of a room and its head.
  local function rooms(keys, args)
    local lane = fenced(keys[1])
    local page = redis.call('HSCAN', keys[2], args[1], 'COUNT', args[2])
    local answer = { lane.epoch, lane.pos, page[1] }
    for _, word in ipairs(page[2]) do
      answer[#answer + 1] = word
    end
    return answer
  end
  redis.register_function('turnpike_rooms', rooms)

  -- Forgets rooms in which nothing was published for long. Their logs have gone by themselves before. A room that comes back
  -- goes on from where the furthest of them stood, so that no position is given out twice, and one from before is known to be
  -- too old.
  -- KEYS: meta, heads
  -- ARGV: cursor, count, idle_ms_max
  -- Gives the next cursor and how many were forgotten.
  local function forget(keys, args)
    local meta, heads = keys[1], keys[2]
    local lane = fenced(meta)
    local idle_since = now_ms() - tonumber(args[3])
    local page = redis.call('HSCAN', heads, args[1], 'COUNT', args[2])
    local forgotten = 0
    for index = 1, #page[2], 2 do
      local seq, pos, ts = string.match(page[2][index + 1], '^(%d+) (%d+) %d+ (%d+)')
      if tonumber(ts) < idle_since then
        lane.fseq = math.max(lane.fseq, tonumber(seq))
        lane.fpos = math.max(lane.fpos, tonumber(pos))
        redis.call('HDEL', heads, page[2][index])
        forgotten = forgotten + 1
      end
    end
    if forgotten > 0 then
      redis.call('HSET', meta, 'fseq', text(lane.fseq), 'fpos', text(lane.fpos))
    end
    return { page[1], forgotten }
  end
  redis.register_function('turnpike_forget', forget)
end
