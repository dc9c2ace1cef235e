-- Sessions: a bucket is a hash, session id -> its owner's incarnation (16 hex digits) and the record behind it.
-- What a base is: a string of its own, because it goes by itself.
do
  local OWNER_BYTES = 16

  -- KEYS bucket; ARGV own, id, record. 0: another incarnation has it.
  local function put(keys, args)
    local kept = redis.call('HGET', keys[1], args[2])
    if kept and string.sub(kept, 1, OWNER_BYTES) ~= args[1] then
      return 0
    end
    redis.call('HSET', keys[1], args[2], args[1] .. args[3])
    return 1
  end

  -- KEYS bucket; ARGV own, id. The former owner and the record behind it in one string, as it is kept.
  local function take(keys, args)
    local kept = redis.call('HGET', keys[1], args[2])
    if not kept then
      return false
    end
    if string.sub(kept, 1, OWNER_BYTES) ~= args[1] then
      redis.call('HSET', keys[1], args[2], args[1] .. string.sub(kept, OWNER_BYTES + 1))
    end
    return kept
  end

  -- KEYS bucket; ARGV own, id.
  local function remove(keys, args)
    local kept = redis.call('HGET', keys[1], args[2])
    if kept and string.sub(kept, 1, OWNER_BYTES) == args[1] then
      redis.call('HDEL', keys[1], args[2])
      return 1
    end
    return 0
  end

  -- KEYS bucket; ARGV cursor, batch, count of known incarnations, these, then those to be cleared away.
  -- The next cursor, how many records went, and owners that are neither.
  local function sweep(keys, args)
    local known = {}
    local behind = 3 + tonumber(args[3])
    for i = 4, behind do
      known[args[i]] = 'known'
    end
    for i = behind + 1, #args do
      known[args[i]] = 'cleared'
    end
    local page = redis.call('HSCAN', keys[1], args[1], 'COUNT', args[2])
    local removed, strangers = 0, {}
    for i = 1, #page[2], 2 do
      local owner = string.sub(page[2][i + 1], 1, OWNER_BYTES)
      if known[owner] == 'cleared' then
        removed = removed + redis.call('HDEL', keys[1], page[2][i])
      elseif not known[owner] then
        known[owner] = 'stranger'
        strangers[#strangers + 1] = owner
      end
    end
    return { page[1], removed, strangers }
  end

  -- KEYS base; ARGV value, milliseconds.
  local function put_base(keys, args)
    redis.call('SET', keys[1], args[1], 'PX', args[2])
    return 1
  end

  -- KEYS base.
  local function base(keys)
    return redis.call('GET', keys[1])
  end

  redis.register_function('turnpike_session_put', put)
  redis.register_function('turnpike_session_take', take)
  -- What frees memory must go on when there is none left.
  redis.register_function { function_name = 'turnpike_session_remove', callback = remove, flags = { 'allow-oom' } }
  redis.register_function { function_name = 'turnpike_session_sweep', callback = sweep, flags = { 'allow-oom' } }
  redis.register_function('turnpike_base_put', put_base)
  redis.register_function { function_name = 'turnpike_base_get', callback = base, flags = { 'no-writes' } }
end
