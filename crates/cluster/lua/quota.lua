-- Quota: a bucket is a hash of how much is left and when that was reckoned.
do
  local function left(key, burst, per_second, now)
    local kept = redis.call('HMGET', key, 'left', 'at')
    local amount, at = tonumber(kept[1]) or burst, tonumber(kept[2]) or now
    -- A clock that was set back gives nothing; one that was set ahead fills the bucket once.
    return math.min(burst, amount + math.max(0, now - at) * per_second / 1000)
  end

  local function keep(key, amount, burst, per_second, now)
    redis.call('HSET', key, 'left', string.format('%.6f', amount), 'at', string.format('%.0f', now))
    -- A full bucket need not be remembered. One that never fills again is, for a day.
    local full_ms = per_second > 0 and math.min((burst - amount) * 1000 / per_second, 86400000) or 86400000
    redis.call('PEXPIRE', key, string.format('%.0f', full_ms + 1000))
  end

  -- KEYS bucket; ARGV burst, per second, wanted.
  local function take(keys, args)
    local burst, per_second, now = tonumber(args[1]), tonumber(args[2]), now_ms()
    local amount = left(keys[1], burst, per_second, now)
    local granted = math.max(0, math.min(math.floor(amount), tonumber(args[3])))
    keep(keys[1], amount - granted, burst, per_second, now)
    return granted
  end

  -- KEYS bucket; ARGV burst, per second, unused.
  local function give_back(keys, args)
    local burst, per_second, now = tonumber(args[1]), tonumber(args[2]), now_ms()
    local amount = left(keys[1], burst, per_second, now)
    keep(keys[1], math.min(burst, amount + tonumber(args[3])), burst, per_second, now)
    return 1
  end

  redis.register_function('turnpike_quota_take', take)
  redis.register_function('turnpike_quota_give_back', give_back)
end
