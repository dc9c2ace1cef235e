-- Membership: leases by a clock that counts only what it has watched, the graves of those whose lease lapsed, and who
-- clears up after them.
--
-- KEYS of all: until (incarnation -> when its lease ends), nodes (incarnation -> what it says of itself),
-- graves (incarnation -> when it was buried, and how far it has been cleared away), clock.
do
  -- Every living node calls once a second, so a longer pause between two calls means that nobody could call, or that
  -- the wall clock was set. Either is no reason to hold the pause against anybody's lease.
  local STEP_MS_MAX = 1200

  -- Milliseconds that only go on while nodes call. Held to the wall clock nowhere, so it may be set at will.
  local function tick(keys, lease_ms)
    local kept = redis.call('HMGET', keys[4], 'watched', 'wall', 'run')
    local wall = now_ms()
    local watched = tonumber(kept[1]) or 0
    local passed = wall - (tonumber(kept[2]) or wall)
    watched = watched + math.max(0, math.min(passed, STEP_MS_MAX))
    redis.call('HSET', keys[4], 'watched', text(watched), 'wall', text(wall), 'run', run())
    if kept[3] ~= run() then
      -- A replica may not have heard of the latest renewals, and nobody could renew meanwhile: all start afresh.
      local all = redis.call('HGETALL', keys[1])
      for i = 1, #all, 2 do
        if tonumber(all[i + 1]) < watched + lease_ms then
          redis.call('HSET', keys[1], all[i], text(watched + lease_ms))
        end
      end
    end
    return watched
  end

  local function bury(keys, incarnation, watched)
    redis.call('HDEL', keys[1], incarnation)
    redis.call('HDEL', keys[2], incarnation)
    redis.call('HSETNX', keys[3], incarnation, text(watched) .. ' 0')
    redis.call('HINCRBY', keys[4], 'generation', 1)
  end

  -- ARGV own, lease, how long a lapsed lease may still be renewed, the generation of nodes that the caller knows, what
  -- it says of itself or nothing.
  -- Standing ('held', 'lost', 'unknown'), generation, those who live, those whose lease has lapsed but may be renewed,
  -- what all of them say unless the caller knows it, the graves as incarnation, stage, age, and in how many milliseconds
  -- somebody else's lease will have lapsed or be given up.
  local function renew(keys, args)
    local own, lease_ms, revocable_ms = args[1], tonumber(args[2]), tonumber(args[3])
    local watched = tick(keys, lease_ms)
    local standing = 'held'
    if redis.call('HEXISTS', keys[3], own) == 1 then
      standing = 'lost'
    elseif args[5] ~= '' then
      redis.call('HSET', keys[2], own, args[5])
      redis.call('HINCRBY', keys[4], 'generation', 1)
    elseif redis.call('HEXISTS', keys[2], own) == 0 then
      -- A failover may have forgotten who came last.
      standing = 'unknown'
    end
    if standing == 'held' then
      local kept = tonumber(redis.call('HGET', keys[1], own)) or 0
      redis.call('HSET', keys[1], own, text(math.max(kept, watched + lease_ms)))
    end

    local living, lapsed, soonest = {}, {}, lease_ms
    local all = redis.call('HGETALL', keys[1])
    for i = 1, #all, 2 do
      local ends = tonumber(all[i + 1])
      if ends > watched then
        living[#living + 1] = all[i]
      elseif ends + revocable_ms > watched then
        lapsed[#lapsed + 1] = all[i]
        ends = ends + revocable_ms
      else
        bury(keys, all[i], watched)
        ends = math.huge
      end
      soonest = math.min(soonest, ends - watched)
    end

    local graves = {}
    all = redis.call('HGETALL', keys[3])
    for i = 1, #all, 2 do
      local since, stage = string.match(all[i + 1], '^(%d+) (%d)$')
      graves[#graves + 1] = all[i]
      graves[#graves + 1] = stage
      graves[#graves + 1] = text(watched - tonumber(since))
    end

    local generation = redis.call('HGET', keys[4], 'generation') or '0'
    local nodes = {}
    if generation ~= args[4] then
      nodes = redis.call('HGETALL', keys[2])
    end
    return { standing, generation, living, lapsed, nodes, graves, text(soonest) }
  end

  -- For whoever is no node and only looks. ARGV the generation of nodes that the caller knows.
  -- Generation, those who live, what all of them say unless the caller knows it.
  local function look(keys, args)
    local kept = redis.call('HMGET', keys[4], 'watched', 'wall', 'generation')
    local passed = now_ms() - (tonumber(kept[2]) or now_ms())
    local watched = (tonumber(kept[1]) or 0) + math.max(0, math.min(passed, STEP_MS_MAX))
    local living = {}
    local all = redis.call('HGETALL', keys[1])
    for i = 1, #all, 2 do
      if tonumber(all[i + 1]) > watched then
        living[#living + 1] = all[i]
      end
    end
    local generation = kept[3] or '0'
    local nodes = {}
    if generation ~= args[1] then
      nodes = redis.call('HGETALL', keys[2])
    end
    return { generation, living, nodes }
  end

  -- ARGV lease, incarnations: the caller's own that leaves, or owners of things whom nobody knows.
  local function leave(keys, args)
    local watched = tick(keys, tonumber(args[1]))
    for i = 2, #args do
      bury(keys, args[i], watched)
    end
    return #args - 1
  end

  -- KEYS besides: the claim. ARGV own, milliseconds. 1: it is the caller who clears up now.
  local function claim(keys, args)
    local holder = redis.call('GET', keys[5])
    if holder and holder ~= args[1] then
      return 0
    end
    redis.call('SET', keys[5], args[1], 'PX', args[2])
    return 1
  end

  -- KEYS besides: the claim. ARGV own.
  local function release(keys, args)
    if redis.call('GET', keys[5]) == args[1] then
      redis.call('DEL', keys[5])
    end
    return 1
  end

  -- ARGV stage, incarnations. Stage 1: only its sessions are left. Stage 2: nothing is, and the grave goes too.
  local function cleared(keys, args)
    for i = 2, #args do
      local since = string.match(redis.call('HGET', keys[3], args[i]) or '', '^(%d+) ')
      if since and args[1] == '2' then
        redis.call('HDEL', keys[3], args[i])
      elseif since then
        redis.call('HSET', keys[3], args[i], since .. ' ' .. args[1])
      end
    end
    return 1
  end

  -- A lease is a few bytes, and not to renew it would take the whole cluster down: it goes on without memory.
  local function register(name, callback)
    redis.register_function { function_name = name, callback = callback, flags = { 'allow-oom' } }
  end

  register('turnpike_nodes_renew', renew)
  redis.register_function { function_name = 'turnpike_nodes_look', callback = look, flags = { 'no-writes' } }
  register('turnpike_nodes_leave', leave)
  register('turnpike_nodes_claim', claim)
  register('turnpike_nodes_release', release)
  register('turnpike_nodes_cleared', cleared)
end
