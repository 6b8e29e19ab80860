-- Stores tasks. ARGV: limits (shapes, queues, waiting), aging in µs per priority
-- step, then 10 values a task. Answers status and id for each: created,
-- duplicate, conflict, expired, too_many_shapes, too_many_queues or full.
local max_shapes, max_queues, max_waiting, aging = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

-- The task stored under the key, or under the id by an earlier try of this very
-- call whose answer was lost.
local function known(id, key)
  if key ~= '' then
    local first = redis.call('GET', P .. 'key:' .. key)
    if first and redis.call('EXISTS', P .. 'task:' .. first) == 1 then return first end
    return nil
  end
  if redis.call('EXISTS', P .. 'task:' .. id) == 1 then return id end
  return nil
end

local function refusal(queue, shape, deadline)
  if deadline > 0 and deadline <= now then return 'expired' end
  if redis.call('SISMEMBER', P .. 'queues', queue) == 0 and redis.call('SCARD', P .. 'queues') >= max_queues then return 'too_many_queues' end
  if redis.call('HEXISTS', P .. 'shapes', shape) == 0 and redis.call('HLEN', P .. 'shapes') >= max_shapes then return 'too_many_shapes' end
  if tonumber(redis.call('GET', P .. 'waiting') or 0) >= max_waiting then return 'full' end
  return nil
end

local out = {}
for i = 5, #ARGV, 10 do
  local id, key, digest, queue, handler = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local shape, priority, deadline, max_attempts, payload = ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9]
  local status, first = nil, known(id, key)
  if first == id then
    status = 'created'
  elseif first then
    if redis.call('HGET', P .. 'task:' .. first, 'digest') == digest then
      status = 'duplicate'
      count(queue, 'duplicates_answered', 1)
    else
      status = 'conflict'
      count(redis.call('HGET', P .. 'task:' .. first, 'queue'), 'duplicates_refused', 1)
    end
    id = first
  else
    status = refusal(queue, shape, tonumber(deadline))
    if not status then
      status = 'created'
      local score = int(now - tonumber(priority) * aging)
      redis.call('HSET', P .. 'task:' .. id, 'id', id, 'key', key, 'digest', digest, 'queue', queue, 'handler', handler,
        'shape', shape, 'priority', priority, 'deadline_us', deadline, 'max_attempts', max_attempts, 'payload', payload,
        'score', score, 'state', 'waiting', 'attempt', 0, 'failures', 0, 'agent', '', 'submitted_us', int(now),
        'ready_us', int(now), 'started_us', 0, 'finished_us', 0, 'result', '', 'error', '')
      if key ~= '' then redis.call('SET', P .. 'key:' .. key, id) end
      if deadline ~= '0' then redis.call('ZADD', P .. 'deadlines', deadline, id) end
      redis.call('SADD', P .. 'queues', queue)
      count(queue, 'submitted', 1)
      enqueue(id, queue, shape, score)
    end
  end
  out[#out + 1] = status
  out[#out + 1] = id
end
return out
