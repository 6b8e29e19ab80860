-- Acknowledges everything up to a cursor. KEYS: log, state. ARGV: the cursor's
-- two halves, ms that an untouched mailbox is kept. Answers how many messages went; -1 when the
-- cursor is behind the mailbox's end: nobody acknowledges what is not there yet.
local state = redis.call('HMGET', KEYS[2], 'ms', 'n', 'ams', 'an')
local function behind(ams, an, bms, bn) return ams < bms or (ams == bms and an <= bn) end
local last_ms, last_n = tonumber(state[1] or 0), tonumber(state[2] or 0)
local was_ms, was_n = tonumber(state[3] or 0), tonumber(state[4] or 0)
local ms, n = tonumber(ARGV[1]), tonumber(ARGV[2])
if not behind(ms, n, last_ms, last_n) then return -1 end
if behind(ms, n, was_ms, was_n) then return 0 end
local function text(v) return string.format('%.0f', v) end
redis.call('HSET', KEYS[2], 'ams', text(ms), 'an', text(n))
if was_n == 0 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
redis.call('XTRIM', KEYS[1], 'MINID', '=', text(ms) .. '-' .. text(n + 1))
return math.max(0, n - was_n)
