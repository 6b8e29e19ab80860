-- KEYS owner, log, snap. ARGV name of the taker, lease in ms, its nonce.
-- Answers {'ok', epoch, seq of the takeover record}, {'held', name, ms left} or
-- {'damaged', key that lost entries} or {'exhausted'}.
local now = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'name', 'until', 'nonce')
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
if now[5] == ARGV[3] then
  -- The reply of this very takeover was lost.
  redis.call('HSET', KEYS[1], 'nonce', ARGV[3])
  return {'ok', now[1], now[2]}
end
local left = tonumber(now[4] or '0') - ms
if left > 0 then return {'held', now[3], left} end
local epoch, seq = tonumber(now[1] or ''), tonumber(now[2] or '')
if not (epoch and seq) then
  -- The owner key is new, or was lost: go on from where the log ends.
  local key
  epoch, seq, key = told(KEYS[2], KEYS[3])
  if not epoch then return {'damaged', key} end
end
-- 2^53-1: beyond it a Lua number is no longer exact.
if epoch >= 9007199254740991 or seq >= 9007199254740991 then return {'exhausted'} end
epoch, seq = string.format('%.0f', epoch + 1), string.format('%.0f', seq + 1)
-- Redis has no CRC32C for scripts: this record's digest is a SHA-1.
redis.call('XADD', KEYS[2], seq .. '-0', 'e', epoch, 'd', redis.sha1hex(seq .. ':' .. epoch .. ':' .. ARGV[1]), 't', ARGV[1])
redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', seq, 'name', ARGV[1], 'until', string.format('%.0f', ms + ARGV[2]), 'nonce', ARGV[3])
return {'ok', epoch, seq}
