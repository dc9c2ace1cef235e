-- Bulletin: what every node must know. A topic is a hash, key -> `number ends payload`, and its keys by when they end; all
-- topics together have a stream of the latest changes, in which an entry says number, end and payload. Numbers rise, so
-- of two notices about one key the later can be told. The payload is the sender's and is not looked into.
do
  -- Whoever is further behind reads all that holds.
  local NEWS_MAX = 4096
  -- So long it is remembered that something was lifted, at least.
  local LIFTED_MS = 3600000
  -- Taken off in one call.
  local SWEPT_MAX = 128
  -- What nobody has touched for longer goes. Notices may end later: a node that lives puts them back.
  local IDLE_MS = 90 * 86400000

  -- KEYS held, ends, news, meta.
  local function sweep(keys, now)
    local over = redis.call('ZRANGEBYSCORE', keys[2], '-inf', text(now), 'LIMIT', 0, SWEPT_MAX)
    if #over > 0 then
      redis.call('HDEL', keys[1], unpack(over))
      redis.call('ZREM', keys[2], unpack(over))
    end
  end

  -- A process that was promoted may not know the last number, but the clock is past it.
  local function next_place(keys, now)
    local last = tonumber(redis.call('HGET', keys[4], 'last')) or 0
    local newest = redis.call('XREVRANGE', keys[3], '+', '-', 'COUNT', 1)[1]
    if newest then
      last = math.max(last, tonumber(string.match(newest[1], '^%d+')))
    end
    return math.max(last + 1, now)
  end

  -- Gives how many were given up because there was no room.
  local function put(keys, place, key, number, ends, payload, bound, channel)
    redis.call('HSET', keys[1], key, text(number) .. ' ' .. text(ends) .. ' ' .. payload)
    redis.call('ZADD', keys[2], text(ends), key)
    local given_up = 0
    while redis.call('ZCARD', keys[2]) > bound do
      redis.call('HDEL', keys[1], redis.call('ZPOPMIN', keys[2])[1])
      given_up = given_up + 1
    end
    redis.call('XADD', keys[3], text(place) .. '-0', 'n', text(number), 'e', text(ends), 'p', payload)
    if redis.call('XLEN', keys[3]) > NEWS_MAX then
      local oldest = redis.call('XRANGE', keys[3], '-', '+', 'COUNT', 1)[1][1]
      redis.call('XDEL', keys[3], oldest)
      redis.call('HSET', keys[4], 'floor', string.match(oldest, '^%d+'))
    end
    redis.call('HSET', keys[4], 'last', text(place))
    for _, name in ipairs(keys) do
      redis.call('PEXPIRE', name, IDLE_MS)
    end
    redis.call('SPUBLISH', channel, 'posted')
    return given_up
  end

  -- ARGV key, until or 0, payload, notices at most, channel. Number, end, how many were given up.
  local function post(keys, args)
    local now = now_ms()
    sweep(keys, now)
    local key, ends = args[1], tonumber(args[2])
    if ends == 0 then
      ends = math.max(now + LIFTED_MS, tonumber(redis.call('ZSCORE', keys[2], key)) or 0)
    end
    local place = next_place(keys, now)
    local given_up = put(keys, place, key, place, ends, args[3], tonumber(args[4]), args[5])
    return { text(place), text(ends), given_up }
  end

  -- Puts back what this process has lost, or the same under another seal. ARGV key, number, end, payload, notices at most,
  -- channel, whether it may be there already.
  local function restore(keys, args)
    local now = now_ms()
    sweep(keys, now)
    local number, ends = tonumber(args[2]), tonumber(args[3])
    local known = tonumber(string.match(redis.call('HGET', keys[1], args[1]) or '', '^%d+')) or 0
    if known > number or (known == number and args[7] == '0') or ends <= now then
      return 0
    end
    put(keys, math.max(next_place(keys, now), number), args[1], number, ends, args[4], tonumber(args[5]), args[6])
    return 1
  end

  -- KEYS news, meta; ARGV the last place that the asker has read, entries at most, the process that it knows.
  -- The process, the last place, whether everything is to be read, then place, number, end, payload each.
  local function news(keys, args)
    local after, meta = tonumber(args[1]), redis.call('HMGET', keys[2], 'last', 'floor')
    local last, floor = tonumber(meta[1]) or 0, tonumber(meta[2]) or 0
    local answer = { run(), text(last), 0 }
    if args[3] ~= answer[1] or after > last or after < floor then
      answer[3] = 1
      return answer
    end
    for _, entry in ipairs(redis.call('XRANGE', keys[1], text(after + 1), '+', 'COUNT', args[2])) do
      answer[#answer + 1] = string.match(entry[1], '^%d+')
      for index = 2, 6, 2 do
        answer[#answer + 1] = entry[2][index]
      end
    end
    return answer
  end

  -- KEYS held; ARGV cursor, batch.
  local function page(keys, args)
    local found = redis.call('HSCAN', keys[1], args[1], 'COUNT', args[2])
    local answer = { found[1] }
    for index = 2, #found[2], 2 do
      local number, ends, payload = string.match(found[2][index], '^(%d+) (%d+) (.*)$')
      if number then
        for _, word in ipairs { number, ends, payload } do
          answer[#answer + 1] = word
        end
      end
    end
    return answer
  end

  redis.register_function('turnpike_bulletin_post', post)
  redis.register_function('turnpike_bulletin_restore', restore)
  redis.register_function('turnpike_bulletin_news', news)
  redis.register_function { function_name = 'turnpike_bulletin_page', callback = page, flags = { 'no-writes' } }
end
