-- Directory: a bucket is a hash, name -> `owner fence end lease value`, its names in order, and a counter of fences.
-- A lease is judged by the time of the Redis process that holds it; the fence is what a late owner is told by.
do
  -- A claim for so long is no sign of life: what a node wants to be known of it stays when it is dead.
  local OUTLIVING_LEASE_MS = 86400000

  local function parse(kept)
    if not kept then
      return nil
    end
    local owner, fence, ends, lease, value = string.match(kept, '^(%x+) (%d+) (%d+) (%d+) (.*)$')
    return owner and { owner = owner, fence = fence, ends = tonumber(ends), lease = lease, value = value }
  end

  local function keep(keys, name, entry)
    local words = { entry.owner, entry.fence, text(entry.ends), entry.lease, entry.value }
    redis.call('HSET', keys[1], name, table.concat(words, ' '))
    redis.call('ZADD', keys[2], 0, name)
  end

  local function drop(keys, name)
    redis.call('HDEL', keys[1], name)
    redis.call('ZREM', keys[2], name)
  end

  -- KEYS of all: names, their order, meta. After a failover or restart every claim gets a fresh lease, because its owner
  -- could not renew it.
  local function fenced_time(keys)
    local now = now_ms()
    if redis.call('HGET', keys[3], 'run') ~= run() then
      redis.call('HSET', keys[3], 'run', run())
      local all = redis.call('HGETALL', keys[1])
      for i = 1, #all, 2 do
        local entry = parse(all[i + 1])
        if entry then
          entry.ends = math.max(entry.ends, now + tonumber(entry.lease))
          keep(keys, all[i], entry)
        end
      end
    end
    return now
  end

  -- Above the last one and, because a failover may have forgotten that, not below the milliseconds since 1970.
  local function next_fence(keys, now)
    local fence = math.max((tonumber(redis.call('HGET', keys[3], 'fence')) or 0) + 1, now)
    redis.call('HSET', keys[3], 'fence', text(fence))
    return text(fence)
  end

  -- ARGV own, name, lease, value, and whose claim is over, because its node is known to be dead, if it was not renewed for so
  -- many milliseconds, or nothing. Owner, fence and value of who has it then.
  local function claim(keys, args)
    local now = fenced_time(keys)
    local entry = parse(redis.call('HGET', keys[1], args[2]))
    local holds = entry and entry.ends > now
    if holds and entry.owner == args[5] and now >= entry.ends - tonumber(entry.lease) + tonumber(args[6]) then
      holds = false
    end
    if holds and entry.owner ~= args[1] then
      return { entry.owner, entry.fence, entry.value }
    end
    local fence
    if holds then
      fence = entry.fence
    else
      fence = next_fence(keys, now)
    end
    local ends = now + tonumber(args[3])
    keep(keys, args[2], { owner = args[1], fence = fence, ends = ends, lease = args[3], value = args[4] })
    return { args[1], fence, args[4] }
  end

  -- ARGV own, name, fence.
  local function release(keys, args)
    local entry = parse(redis.call('HGET', keys[1], args[2]))
    if entry and entry.owner == args[1] and entry.fence == args[3] then
      drop(keys, args[2])
      return 1
    end
    return 0
  end

  -- ARGV name.
  local function find(keys, args)
    local now = fenced_time(keys)
    local entry = parse(redis.call('HGET', keys[1], args[1]))
    if entry and entry.ends > now then
      return { entry.owner, entry.fence, entry.value }
    end
    return false
  end

  -- ARGV from and to in the order of names, names at most. The last name looked at or nothing, then name, owner, fence,
  -- value each.
  local function list(keys, args)
    local now = fenced_time(keys)
    local names = redis.call('ZRANGEBYLEX', keys[2], args[1], args[2], 'LIMIT', 0, args[3])
    local found = { names[#names] or '' }
    for _, name in ipairs(names) do
      local entry = parse(redis.call('HGET', keys[1], name))
      if entry and entry.ends > now then
        for _, word in ipairs { name, entry.owner, entry.fence, entry.value } do
          found[#found + 1] = word
        end
      else
        drop(keys, name)
      end
    end
    return found
  end

  -- ARGV cursor, batch, dead incarnations. The next cursor.
  local function sweep(keys, args)
    local now = fenced_time(keys)
    local dead = {}
    for i = 3, #args do
      dead[args[i]] = true
    end
    local page = redis.call('HSCAN', keys[1], args[1], 'COUNT', args[2])
    for i = 1, #page[2], 2 do
      local entry = parse(page[2][i + 1])
      local outlived = entry and dead[entry.owner] and tonumber(entry.lease) < OUTLIVING_LEASE_MS
      if not entry or entry.ends <= now or outlived then
        drop(keys, page[2][i])
      end
    end
    return page[1]
  end

  redis.register_function('turnpike_directory_claim', claim)
  redis.register_function { function_name = 'turnpike_directory_release', callback = release, flags = { 'allow-oom' } }
  redis.register_function('turnpike_directory_find', find)
  redis.register_function('turnpike_directory_list', list)
  redis.register_function { function_name = 'turnpike_directory_sweep', callback = sweep, flags = { 'allow-oom' } }
end
