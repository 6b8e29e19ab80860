-- KEYS owner, log, snap, bodies to store, bodies to drop. ARGV epoch, seq, digest, blob, the bytes of the bodies to store.
-- Answers {'ok'}, {'fenced', epoch now}, {'lost', last sequence} or {'gap', last sequence}.
local now = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not (now[1] and now[2]) then return lost(ARGV[1], KEYS[2], KEYS[3]) end
local last = tonumber(now[2])
local seq = tonumber(ARGV[2])
if seq <= last then
  -- A retry after a lost reply, or a sequence that somebody else has taken. The bodies are as this
  -- very append has left them, or as a later one has.
  local there = redis.call('XRANGE', KEYS[2], ARGV[2] .. '-0', ARGV[2] .. '-0')[1]
  if there and there[2][2] == ARGV[1] and there[2][4] == ARGV[3] then
    -- A write that changes nothing, so that WAIT on this connection waits for it.
    redis.call('HSET', KEYS[1], 'seq', now[2])
    return {'ok'}
  end
  return {'fenced', now[1]}
end
if now[1] ~= ARGV[1] then return {'fenced', now[1]} end
if seq ~= last + 1 then return {'gap', now[2]} end
redis.call('XADD', KEYS[2], ARGV[2] .. '-0', 'e', ARGV[1], 'd', ARGV[3], 'b', ARGV[4])
redis.call('HSET', KEYS[1], 'seq', ARGV[2])
local bodies = #ARGV - 4
for i = 1, bodies do redis.call('SET', KEYS[3 + i], ARGV[4 + i]) end
for i = 4 + bodies, #KEYS do redis.call('UNLINK', KEYS[i]) end
return {'ok'}
