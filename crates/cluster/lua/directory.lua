-- Directory: a bucket is a hash, name -> `owner fence end lease value`, and a counter of fences.
-- A lease is judged by the time of the Redis process that holds it; the fence is what a late owner is told by.
do
  local function parse(kept)
    if not kept then
      return nil
    end
    local owner, fence, ends, lease, value = string.match(kept, '^(%x+) (%d+) (%d+) (%d+) (.*)$')
    return owner and { owner = owner, fence = fence, ends = tonumber(ends), lease = lease, value = value }
  end

  local function keep(key, name, entry)
    local words = { entry.owner, entry.fence, text(entry.ends), entry.lease, entry.value }
    redis.call('HSET', key, name, table.concat(words, ' '))
  end

  -- KEYS names, meta. After a failover or restart every claim gets a fresh lease: its owner could not renew it.
  local function fence_in(keys, now)
    local process = run_id()
    if redis.call('HGET', keys[2], 'process') ~= process then
      redis.call('HSET', keys[2], 'process', process)
      local all = redis.call('HGETALL', keys[1])
      for i = 1, #all, 2 do
        local entry = parse(all[i + 1])
        if entry then
          entry.ends = math.max(entry.ends, now + tonumber(entry.lease))
          keep(keys[1], all[i], entry)
        end
      end
    end
  end

  -- Above the last one and, because a failover may have forgotten that, not below the milliseconds since 1970.
  local function next_fence(keys, now)
    local fence = math.max((tonumber(redis.call('HGET', keys[2], 'fence')) or 0) + 1, now)
    redis.call('HSET', keys[2], 'fence', text(fence))
    return text(fence)
  end

  -- ARGV own, name, lease, value. Owner, fence and value of who has it then.
  local function claim(keys, args)
    local now = now_ms()
    fence_in(keys, now)
    local entry = parse(redis.call('HGET', keys[1], args[2]))
    if entry and entry.ends > now and entry.owner ~= args[1] then
      return { entry.owner, entry.fence, entry.value }
    end
    local fence
    if entry and entry.ends > now then
      fence = entry.fence
    else
      fence = next_fence(keys, now)
    end
    keep(keys[1], args[2], { owner = args[1], fence = fence, ends = now + tonumber(args[3]), lease = args[3], value = args[4] })
    return { args[1], fence, args[4] }
  end

  -- ARGV own, name, fence.
  local function release(keys, args)
    local entry = parse(redis.call('HGET', keys[1], args[2]))
    if entry and entry.owner == args[1] and entry.fence == args[3] then
      return redis.call('HDEL', keys[1], args[2])
    end
    return 0
  end

  -- ARGV name.
  local function find(keys, args)
    local now = now_ms()
    fence_in(keys, now)
    local entry = parse(redis.call('HGET', keys[1], args[1]))
    if entry and entry.ends > now then
      return { entry.owner, entry.fence, entry.value }
    end
    return false
  end

  -- ARGV cursor, batch, prefix. The next cursor, then name, owner, fence, value each.
  local function list(keys, args)
    local now = now_ms()
    fence_in(keys, now)
    local page = redis.call('HSCAN', keys[1], args[1], 'COUNT', args[2])
    local found = { page[1] }
    for i = 1, #page[2], 2 do
      local name, entry = page[2][i], parse(page[2][i + 1])
      if not entry or entry.ends <= now then
        redis.call('HDEL', keys[1], name)
      elseif string.sub(name, 1, #args[3]) == args[3] then
        for _, word in ipairs { name, entry.owner, entry.fence, entry.value } do
          found[#found + 1] = word
        end
      end
    end
    return found
  end

  -- ARGV cursor, batch, dead incarnations. The next cursor.
  local function sweep(keys, args)
    local now = now_ms()
    fence_in(keys, now)
    local dead = {}
    for i = 3, #args do
      dead[args[i]] = true
    end
    local page = redis.call('HSCAN', keys[1], args[1], 'COUNT', args[2])
    for i = 1, #page[2], 2 do
      local entry = parse(page[2][i + 1])
      if not entry or entry.ends <= now or dead[entry.owner] then
        redis.call('HDEL', keys[1], page[2][i])
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
