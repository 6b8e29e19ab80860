-- Acknowledges everything up to a cursor. KEYS: stream, acknowledged cursor.
-- ARGV: cursor, how long an untouched inbox is kept in ms. Answers how many
-- messages went.
local function parts(c)
  local ms, seq = string.match(c, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local before = redis.call('GET', KEYS[2]) or '0-0'
local ms, seq = parts(ARGV[1])
local was_ms, was_seq = parts(before)
if ms < was_ms or (ms == was_ms and seq <= was_seq) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[1]) + redis.call('XDEL', KEYS[1], ARGV[1])
