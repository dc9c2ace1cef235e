-- Occupancy: a bucket is a hash, room -> `turn state teller incarnation...`: the number of the room's last change, `o`
-- occupied or `v` vacated, who has yet to report it (or `-`), and which incarnations have somebody there. And the number of
-- the bucket's last change, by a name that no room has.
do
  local OCCUPIED, VACATED, TOLD = 'o', 'v', '-'
  local LAST = '*'

  local function parse(kept)
    local words = {}
    for word in string.gmatch(kept, '%S+') do
      words[#words + 1] = word
    end
    local entry = { turn = tonumber(words[1]) or 0, state = words[2], teller = words[3], there = {} }
    for i = 4, #words do
      entry.there[#entry.there + 1] = words[i]
    end
    return entry
  end

  local function keep(key, room, entry)
    local words = { text(entry.turn), entry.state, entry.teller }
    for _, incarnation in ipairs(entry.there) do
      words[#words + 1] = incarnation
    end
    redis.call('HSET', key, room, table.concat(words, ' '))
  end

  local function without(there, gone)
    local left = {}
    for _, incarnation in ipairs(there) do
      if not gone[incarnation] then
        left[#left + 1] = incarnation
      end
    end
    return left
  end

  -- Above that of every room that was forgotten and, because a failover may have forgotten more, not below the milliseconds
  -- since 1970.
  local function change(key, entry, state, teller)
    entry.turn = math.max((tonumber(redis.call('HGET', key, LAST)) or 0) + 1, entry.turn + 1, now_ms())
    redis.call('HSET', key, LAST, text(entry.turn))
    entry.state = state
    entry.teller = teller
  end

  -- The turn that is this incarnation's to report.
  local function owed(entry, own, state)
    if entry.state == state and entry.teller == own then
      return text(entry.turn)
    end
    return false
  end

  -- KEYS bucket; ARGV own, room.
  local function enter(keys, args)
    local kept = redis.call('HGET', keys[1], args[2])
    local entry = kept and parse(kept) or { turn = 0, state = VACATED, teller = TOLD, there = {} }
    entry.there = without(entry.there, { [args[1]] = true })
    entry.there[#entry.there + 1] = args[1]
    if entry.state == VACATED then
      change(keys[1], entry, OCCUPIED, args[1])
    end
    keep(keys[1], args[2], entry)
    return owed(entry, args[1], OCCUPIED)
  end

  -- KEYS bucket; ARGV own, room. A room that is not known was forgotten in a failover: it has been occupied.
  local function leave(keys, args)
    local kept = redis.call('HGET', keys[1], args[2])
    local entry = kept and parse(kept) or { turn = 0, state = OCCUPIED, teller = TOLD, there = {} }
    entry.there = without(entry.there, { [args[1]] = true })
    if #entry.there == 0 and entry.state == OCCUPIED then
      change(keys[1], entry, VACATED, args[1])
    end
    keep(keys[1], args[2], entry)
    return owed(entry, args[1], VACATED)
  end

  -- KEYS bucket; ARGV own, room, turn.
  local function told(keys, args)
    local kept = redis.call('HGET', keys[1], args[2])
    local entry = kept and parse(kept)
    if not entry or entry.teller ~= args[1] or text(entry.turn) ~= args[3] then
      return 0
    end
    if entry.state == VACATED then
      redis.call('HDEL', keys[1], args[2])
    else
      entry.teller = TOLD
      keep(keys[1], args[2], entry)
    end
    return 1
  end

  -- KEYS bucket; ARGV cursor, batch. The next cursor, then every incarnation that is named.
  local function named(keys, args)
    local page = redis.call('HSCAN', keys[1], args[1], 'COUNT', args[2])
    local seen, found = {}, { page[1] }
    local function note(incarnation)
      if not seen[incarnation] and incarnation ~= TOLD then
        seen[incarnation] = true
        found[#found + 1] = incarnation
      end
    end
    for i = 1, #page[2], 2 do
      local entry = page[2][i] ~= LAST and parse(page[2][i + 1])
      if entry then
        note(entry.teller)
        for _, incarnation in ipairs(entry.there) do
          note(incarnation)
        end
      end
    end
    return found
  end

  -- KEYS bucket; ARGV own, cursor, batch, the dead. The next cursor, then room, state and turn of what is own's to report.
  local function take_over(keys, args)
    local own, dead = args[1], {}
    for i = 4, #args do
      dead[args[i]] = true
    end
    local page = redis.call('HSCAN', keys[1], args[2], 'COUNT', args[3])
    local found = { page[1] }
    for i = 1, #page[2], 2 do
      local room, entry = page[2][i], page[2][i] ~= LAST and parse(page[2][i + 1])
      local left = entry and without(entry.there, dead)
      if entry and (#left < #entry.there or dead[entry.teller]) then
        entry.there = left
        if #left == 0 and entry.state == OCCUPIED then
          change(keys[1], entry, VACATED, own)
        elseif dead[entry.teller] then
          entry.teller = own
        end
        keep(keys[1], room, entry)
        if entry.teller == own then
          for _, word in ipairs { room, entry.state, text(entry.turn) } do
            found[#found + 1] = word
          end
        end
      end
    end
    return found
  end

  redis.register_function('turnpike_occupancy_enter', enter)
  redis.register_function { function_name = 'turnpike_occupancy_leave', callback = leave, flags = { 'allow-oom' } }
  redis.register_function { function_name = 'turnpike_occupancy_told', callback = told, flags = { 'allow-oom' } }
  redis.register_function { function_name = 'turnpike_occupancy_named', callback = named, flags = { 'no-writes' } }
  redis.register_function { function_name = 'turnpike_occupancy_take_over', callback = take_over, flags = { 'allow-oom' } }
end
