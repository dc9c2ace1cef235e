-- Presence: the rows of a room are one hash for each incarnation, `user device` -> status letter and activity.
--
-- What belongs to a lane: `base`, from which versions go on that a failover may have forgotten, and `graves`, the
-- incarnations whose rows count no more. What belongs to a room: its version (a string that expires), the set of
-- incarnations with rows. What belongs to an incarnation: the set of its rooms in the lane.
do
  -- So long without a change or a reader, a version begins anew at the milliseconds since 1970, which is above the last
  -- one: a room does not change a thousand times a second for years.
  local VERSION_TTL_MS = 86400000
  -- Far longer than a call can be under way.
  local GRAVE_TTL_MS = 86400000
  local LAST_SEEN_TTL_MS = 62 * 86400000
  local INVISIBLE = 'i'

  -- The version that none of this lane is below since its process has changed.
  local function base_of(key, now)
    local kept = redis.call('HMGET', key, 'run', 'base')
        local base = tonumber(kept[2]) or 0
    if kept[1] ~= run() then
      base = math.max(now, base + 1)
      redis.call('HSET', key, 'run', run(), 'base', text(base))
    end
    return base
  end

  local function version_of(key, base, now)
    local kept = tonumber(redis.call('GET', key))
    if not kept then
      return math.max(base, now), true
    end
    return math.max(base, kept), kept < base
  end

  local function next_version(key, base, now)
    local version = version_of(key, base, now) + 1
    redis.call('SET', key, text(version), 'PX', VERSION_TTL_MS)
    return text(version)
  end

  local function visible(row)
    return row and string.sub(row, 1, 1) ~= INVISIBLE
  end

  local function user_of(field)
    return string.match(field, '^[^ ]+')
  end

  -- The version goes into the signal's header; see src/redis/frame.rs.
  local function announce(channel, signal, version)
    redis.call('SPUBLISH', channel, string.sub(signal, 1, 10) .. struct.pack('>I8', tonumber(version)) .. string.sub(signal, 19))
  end

  -- KEYS base, graves, rooms of the incarnation, version, incarnations of the room, rows, last seen.
  -- ARGV incarnation, room, channel, the signal that tells of it, then field, row each; an empty row is gone.
  -- Base, then whether the incarnation is dead, then the version.
  local function apply(keys, args)
    local now = now_ms()
    local base = base_of(keys[1], now)
    if redis.call('HEXISTS', keys[2], args[1]) == 1 then
      return { text(base), 1, '0' }
    end
    local fields = {}
    for i = 5, #args, 2 do
      fields[#fields + 1] = args[i]
    end
    local before = redis.call('HMGET', keys[6], unpack(fields))
    local set, gone, seen = {}, {}, {}
    for n, field in ipairs(fields) do
      local old, row = before[n], args[4 + 2 * n]
      if (old or '') ~= row then
        if row == '' then
          gone[#gone + 1] = field
        else
          set[#set + 1] = field
          set[#set + 1] = row
        end
        if visible(old) and (row == '' or not visible(row)) then
          seen[#seen + 1] = user_of(field)
          seen[#seen + 1] = text(now)
        end
      end
    end
    -- Said twice, because the first answer was lost.
    if #set + #gone == 0 then
      return { text(base), 0, text((version_of(keys[4], base, now))) }
    end
    if #gone > 0 then
      redis.call('HDEL', keys[6], unpack(gone))
    end
    if #set > 0 then
      redis.call('HSET', keys[6], unpack(set))
      redis.call('SADD', keys[5], args[1])
      redis.call('SADD', keys[3], args[2])
    elseif redis.call('EXISTS', keys[6]) == 0 then
      redis.call('SREM', keys[5], args[1])
      redis.call('SREM', keys[3], args[2])
    end
    if #seen > 0 then
      redis.call('HSET', keys[7], unpack(seen))
      redis.call('PEXPIRE', keys[7], LAST_SEEN_TTL_MS)
    end
    local version = next_version(keys[4], base, now)
    announce(args[3], args[4], version)
    return { text(base), 0, version }
  end

  -- KEYS base, graves, version, incarnations of the room, then rows of some incarnations; ARGV rows at most, then the
  -- incarnations that these are of.
  -- Base, version, incarnation and rows each of those whose rows were read, incarnations that are to be read in pages.
  local function read(keys, args)
    local now = now_ms()
    local base = base_of(keys[1], now)
    local version, renewed = version_of(keys[3], base, now)
    if renewed then
      -- Kept, so that the first change behind this reading has the next number.
      redis.call('SET', keys[3], text(version), 'PX', VERSION_TTL_MS)
    end
    local given, budget = {}, tonumber(args[1])
    for i = 2, #args do
      given[args[i]] = keys[3 + i]
    end
    local whole, paged = {}, {}
    for _, incarnation in ipairs(redis.call('SMEMBERS', keys[4])) do
      if redis.call('HEXISTS', keys[2], incarnation) == 0 then
        local key = given[incarnation]
        local count = key and redis.call('HLEN', key)
        if count and count <= budget then
          budget = budget - count
          whole[#whole + 1] = incarnation
          whole[#whole + 1] = redis.call('HGETALL', key)
        else
          paged[#paged + 1] = incarnation
        end
      end
    end
    return { text(base), text(version), whole, paged }
  end

  -- KEYS rows; ARGV cursor, batch.
  local function page(keys, args)
    return redis.call('HSCAN', keys[1], args[1], 'COUNT', args[2])
  end

  -- KEYS last seen of this month and of those beside it; ARGV user.
  local function last_seen(keys, args)
    local latest = false
    for _, key in ipairs(keys) do
      local at = redis.call('HGET', key, args[1])
      if at and (not latest or tonumber(at) > tonumber(latest)) then
        latest = at
      end
    end
    return latest
  end

  -- KEYS base, graves, rooms of the incarnation, then a version for each room; ARGV incarnation, cursor, batch.
  -- Base, whether the incarnation is dead, versions, the next cursor and some of its rooms.
  local function check(keys, args)
    local now = now_ms()
    local base = base_of(keys[1], now)
    local versions = {}
    for i = 4, #keys do
      local kept = tonumber(redis.call('GET', keys[i])) or 0
      versions[#versions + 1] = text(math.max(base, kept))
    end
    local rooms = redis.call('SSCAN', keys[3], args[2], 'COUNT', args[3])
    return { text(base), redis.call('HEXISTS', keys[2], args[1]), versions, rooms[1], rooms[2] }
  end

  -- Somebody has missed changes: gives a number to nothing, which others take as the next, and whoever has missed some as
  -- a gap.
  -- KEYS base, version; ARGV channel, a signal that nothing has changed.
  local function nudge(keys, args)
    local now = now_ms()
    announce(args[1], args[2], next_version(keys[2], base_of(keys[1], now), now))
    return 1
  end

  -- KEYS base, graves, rooms of the incarnation; ARGV incarnation, rooms at most. Some of its rooms.
  -- From here on nothing of it is read any more, and it writes nothing.
  local function bury(keys, args)
    local now = now_ms()
    local graves = redis.call('HGETALL', keys[2])
    for i = 1, #graves, 2 do
      if math.abs(now - tonumber(graves[i + 1])) > GRAVE_TTL_MS then
        redis.call('HDEL', keys[2], graves[i])
      end
    end
    redis.call('HSET', keys[2], args[1], text(now))
    -- Random ones, because with SSCAN there is no telling how many come.
    return redis.call('SRANDMEMBER', keys[3], args[2])
  end

  -- KEYS base, rooms of the incarnation, then version, incarnations, rows, last seen of each room.
  -- ARGV incarnation, rows at most, then room, channel, the signal that tells of it each. How many rooms are done.
  local function gone(keys, args)
    local now = now_ms()
    local base = base_of(keys[1], now)
    local budget, done = tonumber(args[2]), 0
    for n = 1, (#args - 2) / 3 do
      if budget <= 0 then
        break
      end
      local version, incarnations, rows, seen = unpack(keys, 4 * n - 1, 4 * n + 2)
      local room, channel, signal = unpack(args, 3 * n, 3 * n + 2)
      if redis.call('SREM', incarnations, args[1]) == 1 then
        announce(channel, signal, next_version(version, base, now))
      end
      -- A scan that begins anew each time would only find the buckets that it has emptied before.
      local some = redis.call('HRANDFIELD', rows, budget, 'WITHVALUES')
      local left, fields = {}, {}
      for i = 1, #some, 2 do
        fields[#fields + 1] = some[i]
        if visible(some[i + 1]) then
          left[#left + 1] = user_of(some[i])
          left[#left + 1] = text(now)
        end
      end
      if #left > 0 then
        redis.call('HSET', seen, unpack(left))
        redis.call('PEXPIRE', seen, LAST_SEEN_TTL_MS)
      end
      if #fields > 0 then
        redis.call('HDEL', rows, unpack(fields))
      end
      budget = budget - #fields - 1
      if redis.call('EXISTS', rows) == 1 then
        break
      end
      redis.call('SREM', keys[2], room)
      done = done + 1
    end
    return done
  end

  redis.register_function('turnpike_presence_apply', apply)
  redis.register_function { function_name = 'turnpike_presence_read', callback = read, flags = { 'allow-oom' } }
  redis.register_function { function_name = 'turnpike_presence_page', callback = page, flags = { 'no-writes' } }
  redis.register_function { function_name = 'turnpike_presence_last_seen', callback = last_seen, flags = { 'no-writes' } }
  redis.register_function { function_name = 'turnpike_presence_check', callback = check, flags = { 'allow-oom' } }
  redis.register_function('turnpike_presence_nudge', nudge)
  redis.register_function { function_name = 'turnpike_presence_bury', callback = bury, flags = { 'allow-oom' } }
  redis.register_function { function_name = 'turnpike_presence_gone', callback = gone, flags = { 'allow-oom' } }
end
