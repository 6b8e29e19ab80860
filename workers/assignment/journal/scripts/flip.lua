-- KEYS owner, log, snap, new chunks. ARGV epoch, covered sequence, its epoch, chunks, digest.
-- The snapshot becomes the one and the log below it goes, at once.
-- Answers {'ok'}, {'fenced', epoch now} or {'lost', last sequence}.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return lost(ARGV[1], KEYS[2], KEYS[3]) end
if epoch ~= ARGV[1] then return {'fenced', epoch} end
if redis.call('HGET', KEYS[3], 'digest') == ARGV[5] and redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('HSET', KEYS[3], 'digest', ARGV[5]) -- the reply of this very flip was lost
  return {'ok'}
end
redis.call('RENAME', KEYS[4], KEYS[3])
redis.call('HSET', KEYS[3], 'seq', ARGV[2], 'epoch', ARGV[3], 'chunks', ARGV[4], 'digest', ARGV[5])
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', tonumber(ARGV[2]) + 1) .. '-0')
return {'ok'}
