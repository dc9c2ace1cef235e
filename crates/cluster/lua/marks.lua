-- Marks: a room is a hash, user -> `received:read`; a user's personal room has another, device -> `seq:when`.
-- They only rise, and not beyond the room's latest message.
do
  -- KEYS heads; the first number of a head is the seq of the room's latest message.
  local function head(key, room)
    return tonumber(string.match(redis.call('HGET', key, room) or '', '^%d+'))
  end

  -- KEYS marks, heads; ARGV room, channel, header of the signal that tells of it, time to live, then user, received, read
  -- each. The signal is JSON, see src/redis/frame.rs; ids have no character that it would escape.
  local function raise(keys, args)
    local top = head(keys[2], args[1]) or 0
    local moved = {}
    for i = 5, #args, 3 do
      local user = args[i]
      local received, read = string.match(redis.call('HGET', keys[1], user) or '0:0', '^(%d+):(%d+)$')
      received, read = tonumber(received), tonumber(read)
      local read_now = math.max(read, math.min(tonumber(args[i + 2]), top))
      local received_now = math.max(received, math.min(tonumber(args[i + 1]), top), read_now)
      if received_now > received or read_now > read then
        redis.call('HSET', keys[1], user, text(received_now) .. ':' .. text(read_now))
        moved[#moved + 1] = string.format('{"user":"%s","received":%.0f,"read":%.0f}', user, received_now, read_now)
      end
    end
    if #moved > 0 then
      redis.call('PEXPIRE', keys[1], args[4])
      redis.call('SPUBLISH', args[2], args[3] .. '{"Marks":[' .. table.concat(moved, ',') .. ']}')
    end
    return #moved
  end

  -- KEYS marks, heads; ARGV room, users. A failover may have taken messages back that somebody had read already.
  local function marks(keys, args)
    local top = head(keys[2], args[1]) or math.huge
    local found = redis.call('HMGET', keys[1], unpack(args, 2))
    for i, mark in ipairs(found) do
      local received, read = string.match(mark or '', '^(%d+):(%d+)$')
      if received then
        found[i] = text(math.min(tonumber(received), top)) .. ':' .. text(math.min(tonumber(read), top))
      end
    end
    return found
  end

  -- KEYS cursors, heads; ARGV room, device, seq, devices at most, time to live.
  local function advance(keys, args)
    local seq = math.min(tonumber(args[3]), head(keys[2], args[1]) or 0)
    local kept = string.match(redis.call('HGET', keys[1], args[2]) or '', '^%d+')
    if seq <= (tonumber(kept) or -1) then
      return 0
    end
    redis.call('HSET', keys[1], args[2], text(seq) .. ':' .. text(now_ms()))
    redis.call('PEXPIRE', keys[1], args[5])
    if redis.call('HLEN', keys[1]) > tonumber(args[4]) then
      local oldest, since
      local all = redis.call('HGETALL', keys[1])
      for i = 1, #all, 2 do
        local at = tonumber(string.match(all[i + 1], ':(%d+)$'))
        if all[i] ~= args[2] and (not since or at < since) then
          oldest, since = all[i], at
        end
      end
      redis.call('HDEL', keys[1], oldest)
    end
    return 1
  end

  -- KEYS cursors, heads; ARGV room, device.
  local function cursor(keys, args)
    local kept = tonumber(string.match(redis.call('HGET', keys[1], args[2]) or '', '^%d+'))
    return kept and text(math.min(kept, head(keys[2], args[1]) or kept)) or false
  end

  redis.register_function('turnpike_marks_raise', raise)
  redis.register_function { function_name = 'turnpike_marks_get', callback = marks, flags = { 'no-writes' } }
  redis.register_function('turnpike_cursor_advance', advance)
  redis.register_function { function_name = 'turnpike_cursor_get', callback = cursor, flags = { 'no-writes' } }
end
