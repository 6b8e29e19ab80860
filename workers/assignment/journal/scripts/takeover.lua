-- KEYS owner, log, snap. ARGV name of the taker, lease in ms, its nonce.
-- Answers {'ok', epoch, seq of the takeover record} or {'held', name, ms left}.
local now = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'name', 'until', 'nonce')
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
if now[5] == ARGV[3] then
  -- The reply of this very takeover was lost.
  redis.call('HSET', KEYS[1], 'nonce', ARGV[3])
  return {'ok', now[1], now[2]}
end
if not now[1] then
  -- The owner key is gone, or this is the partition's first owner. What was given must not be given again: the log's
  -- last entry says how far it was, or the snapshot that covers all of it.
  local tail = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if tail then
    now[1], now[2] = tail[2][2], string.match(tail[1], '^%d+')
  else
    local head = redis.call('HMGET', KEYS[3], 'epoch', 'seq')
    now[1], now[2] = head[1], head[2]
  end
end
local left = tonumber(now[4] or '0') - ms
if left > 0 then return {'held', now[3], left} end
local epoch = string.format('%.0f', tonumber(now[1] or '0') + 1)
local seq = string.format('%.0f', tonumber(now[2] or '0') + 1)
-- Redis has no CRC32C for scripts: this record's digest is a SHA-1.
redis.call('XADD', KEYS[2], seq .. '-0', 'e', epoch, 'd', redis.sha1hex(seq .. ':' .. epoch .. ':' .. ARGV[1]), 't', ARGV[1])
redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', seq, 'name', ARGV[1], 'until', string.format('%.0f', ms + ARGV[2]), 'nonce', ARGV[3])
return {'ok', epoch, seq}
