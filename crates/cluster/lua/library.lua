#!lua name=turnpike

-- The functions by which Turnpike changes more than one key at once. The other files of this folder follow this one in the
-- library, in the order in which src/redis/library.rs names them.
--
-- Every key that a function touches is named in KEYS: while a slot is on its way to another process a key that is not
-- named, and has gone ahead, would look as if it did not exist.

-- Raised with every change that a node must be able to rely on. A node replaces an older library, never a newer one.
local VERSION = 3

-- Of the text, put in when it is loaded: two builds of one version can be told apart.
local DIGEST = '@digest@'

redis.register_function{
  function_name = 'turnpike_version',
  callback = function() return { VERSION, DIGEST } end,
  flags = { 'no-writes', 'allow-stale' },
}

-- Milliseconds since 1970, by the clock of this process.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Numbers up to 2^53 as text without an exponent.
local function text(number)
  return string.format('%.0f', number)
end
