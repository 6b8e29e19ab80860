-- Shared by every script of this folder: scripts.go puts it in front of each.
-- KEYS[1] is the partition's prefix, "{p0}:". All keys share its hash tag, so a
-- script is one atomic change on one node. All times are Redis time, in µs.
--
--   task:<id>      hash   the task; state is waiting, running, completed or dead
--   key:<key>      string the task that an idempotency key named first
--   ready:<shape>  zset   waiting tasks of one capability set; score = arrival - priority * aging
--   shapes         hash   capability set -> waiting tasks; "" needs none
--   waiting        string waiting tasks in all
--   deadlines      zset   waiting tasks that have one -> deadline
--   leases         zset   running tasks -> end of lease
--   held:<agent>   set    tasks the agent holds
--   agent:<id>     hash   the agent and its newest stream
--   agents         zset   agents -> last seen
--   queues         set    queue names
--   stats:<queue>  hash   counters, changed only together with what they count
--   finished       zset   finished tasks not archived yet -> finish time
--   archived       zset   archived tasks that are kept whole -> when they were archived
--   bodiless       zset   archived tasks of which only id, key, digest and queue are kept -> the same
--   events         shard channel: t:<shape> a task waits, a:<agent> look at this agent, d:<id> a task finished
local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function int(n) return string.format('%.0f', n) end

local function count(queue, field, n)
  redis.call('HINCRBY', P .. 'stats:' .. queue, field, n)
end

local function publish(event) redis.call('SPUBLISH', P .. 'events', event) end

local function enqueue(id, queue, shape, score)
  redis.call('ZADD', P .. 'ready:' .. shape, score, id)
  redis.call('HINCRBY', P .. 'shapes', shape, 1)
  redis.call('INCR', P .. 'waiting')
  count(queue, 'waiting', 1)
  publish('t:' .. shape)
end

local function unqueue(id, queue, shape)
  redis.call('ZREM', P .. 'ready:' .. shape, id)
  redis.call('ZREM', P .. 'deadlines', id)
  if redis.call('HINCRBY', P .. 'shapes', shape, -1) <= 0 then
    redis.call('HDEL', P .. 'shapes', shape)
  end
  redis.call('DECR', P .. 'waiting')
  count(queue, 'waiting', -1)
end

local function finish(id, state, result, err)
  redis.call('HSET', P .. 'task:' .. id, 'state', state, 'finished_us', int(now), 'result', result, 'error', err)
  redis.call('ZADD', P .. 'finished', int(now), id)
  publish('d:' .. id)
end

-- Ends the lease of a running task: nobody holds it after this.
local function unlease(id, queue, agent)
  redis.call('ZREM', P .. 'leases', id)
  local held = P .. 'held:' .. agent
  local before = redis.call('SCARD', held)
  redis.call('SREM', held, id)
  local capacity = tonumber(redis.call('HGET', P .. 'agent:' .. agent, 'capacity') or 0)
  if before >= capacity and capacity > 0 then
    redis.call('HSET', P .. 'agent:' .. agent, 'free_us', int(now))
  end
  count(queue, 'running', -1)
  publish('a:' .. agent)
end

-- Puts a task without lease back among the waiting, unless its deadline has passed.
local function requeue(id)
  local t = redis.call('HMGET', P .. 'task:' .. id, 'queue', 'shape', 'score', 'deadline_us')
  if t[4] ~= '0' and tonumber(t[4]) <= now then
    count(t[1], 'expired', 1)
    finish(id, 'dead', '', 'the deadline passed')
    return
  end
  redis.call('HSET', P .. 'task:' .. id, 'state', 'waiting', 'ready_us', int(now))
  if t[4] ~= '0' then redis.call('ZADD', P .. 'deadlines', t[4], id) end
  enqueue(id, t[1], t[2], t[3])
end

-- One execution has failed: another attempt, or the dead letters.
local function fail(id, queue, err, final)
  local failures = redis.call('HINCRBY', P .. 'task:' .. id, 'failures', 1)
  local max = tonumber(redis.call('HGET', P .. 'task:' .. id, 'max_attempts'))
  if final or failures >= max then
    count(queue, 'dead', 1)
    finish(id, 'dead', '', err)
  else
    redis.call('HSET', P .. 'task:' .. id, 'error', err)
    requeue(id)
  end
end

-- Whether the agent holds exactly this execution.
local function holds(agent, id, attempt)
  local t = redis.call('HMGET', P .. 'task:' .. id, 'state', 'agent', 'attempt', 'queue')
  return t[1] == 'running' and t[2] == agent and t[3] == attempt, t[4]
end

local function renew(id, lease_us) redis.call('ZADD', P .. 'leases', int(now + lease_us), id) end

-- Gives a held execution back; it costs no attempt.
local function release(agent, id, attempt)
  local held, queue = holds(agent, id, attempt)
  if not held then return false end
  unlease(id, queue, agent)
  count(queue, 'released', 1)
  requeue(id)
  return true
end
