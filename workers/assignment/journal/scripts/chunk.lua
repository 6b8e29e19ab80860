-- KEYS owner, log, snap, new chunks. ARGV epoch, number of the chunk, bytes.
-- Answers {'ok'}, {'fenced', epoch now} or {'lost', last sequence}.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return lost(ARGV[1], KEYS[2], KEYS[3]) end
if epoch ~= ARGV[1] then return {'fenced', epoch} end
-- Chunk 0 begins a snapshot: what an earlier, unfinished one left goes.
if ARGV[2] == '0' then redis.call('DEL', KEYS[4]) end
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
return {'ok'}
