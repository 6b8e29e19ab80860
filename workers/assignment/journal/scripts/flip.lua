-- KEYS owner, snap, new chunks, log. ARGV epoch, covered sequence, its epoch, chunks, digest.
-- The snapshot becomes the one and the log below it goes, at once.
-- Answers {'ok'}, {'fenced', epoch now} or {'lost'} without an owner key.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return {'lost'} end
if epoch ~= ARGV[1] then return {'fenced', epoch} end
if redis.call('HGET', KEYS[2], 'digest') == ARGV[5] and redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('HSET', KEYS[2], 'digest', ARGV[5]) -- the reply of this very flip was lost
  return {'ok'}
end
redis.call('RENAME', KEYS[3], KEYS[2])
redis.call('HSET', KEYS[2], 'seq', ARGV[2], 'epoch', ARGV[3], 'chunks', ARGV[4], 'digest', ARGV[5])
redis.call('XTRIM', KEYS[4], 'MINID', string.format('%.0f', tonumber(ARGV[2]) + 1) .. '-0')
return {'ok'}
