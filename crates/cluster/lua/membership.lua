-- Membership: leases by a clock that counts only what it has watched, the graves of those whose lease lapsed, and who
-- clears up after them.
--
-- What a node is told costs what has changed, however many nodes there are: everything that is known of one has the number
-- of its latest change, and who calls says up to which number it has heard.
--
-- KEYS of all: until (in order, incarnation -> when its lease ends), nodes (incarnation -> what it says of itself),
-- graves (incarnation -> when it was buried, and how far it has been cleared away), clock, changes (in order, incarnation
-- -> the number of its latest change).
do
  -- Every living node calls once a second, so a longer pause between two calls means that nobody could call, or that
  -- the wall clock was set. Either is no reason to hold the pause against anybody's lease.
  local STEP_MS_MAX = 1200

  -- Milliseconds that only go on while nodes call. Held to the wall clock nowhere, so it may be set at will. And the era:
  -- numbers of changes are compared within one, because a failover may have taken some back.
  local function tick(keys, lease_ms)
    local kept = redis.call('HMGET', keys[4], 'watched', 'wall', 'run', 'era')
    local wall = now_ms()
    local watched, era = tonumber(kept[1]) or 0, tonumber(kept[4]) or 0
    local passed = wall - (tonumber(kept[2]) or wall)
    watched = watched + math.max(0, math.min(passed, STEP_MS_MAX))
    if kept[3] ~= run() then
      era = math.max(era + 1, wall)
      -- A replica may not have heard of the latest renewals, and nobody could renew meanwhile: all start afresh.
      local all = redis.call('ZRANGE', keys[1], 0, -1, 'WITHSCORES')
      for i = 1, #all, 2 do
        if tonumber(all[i + 1]) < watched + lease_ms then
          redis.call('ZADD', keys[1], text(watched + lease_ms), all[i])
        end
      end
    end
    redis.call('HSET', keys[4], 'watched', text(watched), 'wall', text(wall), 'run', run(), 'era', text(era))
    return watched, era
  end

  local function changed(keys, incarnation)
    redis.call('ZADD', keys[5], redis.call('HINCRBY', keys[4], 'generation', 1), incarnation)
  end

  local function bury(keys, incarnation, watched)
    redis.call('ZREM', keys[1], incarnation)
    redis.call('HDEL', keys[2], incarnation)
    redis.call('HSETNX', keys[3], incarnation, text(watched) .. ' 0')
    changed(keys, incarnation)
  end

  -- What the caller does not know yet, who knows all up to `known`, an era and a number: the place that it knows then,
  -- whether this is everything, and incarnation and what it says each: nothing for one that is no more, and a dash for one of
  -- whom nothing is known yet.
  local function news(keys, known, era)
    local kept = redis.call('HMGET', keys[4], 'generation', 'forgotten')
    local generation, forgotten = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0
    local known_era, number = string.match(known, '^(%d+)%.(%d+)$')
    number = tonumber(number)
    local told, whole = nil, 0
    -- Of those who were forgotten nobody can be told any more.
    if known_era ~= text(era) or number < forgotten or number > generation then
      told, whole = redis.call('ZRANGE', keys[1], 0, -1), 1
    elseif number < generation then
      told = redis.call('ZRANGEBYSCORE', keys[5], '(' .. text(number), '+inf')
    else
      told = {}
    end
    local found = {}
    for _, incarnation in ipairs(told) do
      local words = ''
      if redis.call('ZSCORE', keys[1], incarnation) then
        words = redis.call('HGET', keys[2], incarnation) or '-'
      end
      found[#found + 1] = incarnation
      found[#found + 1] = words
    end
    return text(era) .. '.' .. text(generation), whole, found
  end

  -- ARGV own, lease, how long a lapsed lease may still be renewed, the place in the changes up to which the caller knows
  -- them, what it says of itself or nothing.
  -- Standing ('held', 'lost', 'unknown'), the place, whether all nodes follow or those that have changed, these, those whose
  -- lease has lapsed but may be renewed, the graves as incarnation, stage, age, and in how many milliseconds somebody else's
  -- lease will have lapsed or be given up.
  local function renew(keys, args)
    local own, lease_ms, revocable_ms = args[1], tonumber(args[2]), tonumber(args[3])
    local watched, era = tick(keys, lease_ms)
    local standing = 'held'
    if redis.call('HEXISTS', keys[3], own) == 1 then
      standing = 'lost'
    elseif args[5] ~= '' then
      redis.call('HSET', keys[2], own, args[5])
      changed(keys, own)
    elseif redis.call('HEXISTS', keys[2], own) == 0 then
      -- A failover may have forgotten who came last.
      standing = 'unknown'
    end
    if standing == 'held' then
      local kept = redis.call('ZSCORE', keys[1], own)
      redis.call('ZADD', keys[1], text(math.max(tonumber(kept or 0), watched + lease_ms)), own)
      if not kept and args[5] == '' then
        changed(keys, own)
      end
    end

    local lapsed, soonest = {}, lease_ms
    local late = redis.call('ZRANGEBYSCORE', keys[1], '-inf', text(watched), 'WITHSCORES')
    for i = 1, #late, 2 do
      local left = tonumber(late[i + 1]) + revocable_ms - watched
      if left > 0 then
        lapsed[#lapsed + 1] = late[i]
        soonest = math.min(soonest, left)
      else
        bury(keys, late[i], watched)
      end
    end
    local first = redis.call('ZRANGEBYSCORE', keys[1], '(' .. text(watched), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if first[2] then
      soonest = math.min(soonest, tonumber(first[2]) - watched)
    end

    local graves = {}
    local all = redis.call('HGETALL', keys[3])
    for i = 1, #all, 2 do
      local since, stage = string.match(all[i + 1], '^(%d+) (%d)$')
      graves[#graves + 1] = all[i]
      graves[#graves + 1] = stage
      graves[#graves + 1] = text(watched - tonumber(since))
    end

    local place, whole, told = news(keys, args[4], era)
    return { standing, place, whole, told, lapsed, graves, text(soonest) }
  end

  -- For whoever is no node and only looks. ARGV the place in the changes up to which the caller knows them.
  -- The place, whether all nodes follow or those that have changed, these, and those whose lease has lapsed.
  local function look(keys, args)
    local kept = redis.call('HMGET', keys[4], 'watched', 'wall', 'era')
    local passed = now_ms() - (tonumber(kept[2]) or now_ms())
    local watched = (tonumber(kept[1]) or 0) + math.max(0, math.min(passed, STEP_MS_MAX))
    local lapsed = redis.call('ZRANGEBYSCORE', keys[1], '-inf', text(watched))
    local place, whole, told = news(keys, args[1], tonumber(kept[3]) or 0)
    return { place, whole, told, lapsed }
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
    local holder = redis.call('GET', keys[6])
    if holder and holder ~= args[1] then
      return 0
    end
    redis.call('SET', keys[6], args[1], 'PX', args[2])
    return 1
  end

  -- KEYS besides: the claim. ARGV own.
  local function release(keys, args)
    if redis.call('GET', keys[6]) == args[1] then
      redis.call('DEL', keys[6])
    end
    return 1
  end

  -- ARGV stage, incarnations. Stage 1: only its sessions are left. Stage 2: nothing is, and the grave goes too.
  local function cleared(keys, args)
    for i = 2, #args do
      local since = string.match(redis.call('HGET', keys[3], args[i]) or '', '^(%d+) ')
      if since and args[1] == '2' then
        redis.call('HDEL', keys[3], args[i])
        -- Who has not called since then hears it as everybody who is there.
        local number = tonumber(redis.call('ZSCORE', keys[5], args[i]) or 0)
        local forgotten = tonumber(redis.call('HGET', keys[4], 'forgotten') or 0)
        redis.call('HSET', keys[4], 'forgotten', text(math.max(forgotten, number)))
        redis.call('ZREM', keys[5], args[i])
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
