-- Takes waiting tasks for one agent, best first. ARGV: agent, session, nonce,
-- most, lease in µs, then the agent's capabilities. A call repeated with its
-- nonce, because the answer was lost, answers the same executions again.
-- Answers status (ok, replaced, detached), free slots, then 8 values a task.
local agent, session, nonce, most, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local key, held = P .. 'agent:' .. agent, P .. 'held:' .. agent
local a = redis.call('HMGET', key, 'session', 'detach', 'capacity', 'free_us', 'claim_nonce', 'claim_ids')
if a[1] ~= session then return {'replaced', '0'} end

local out = {'ok', '0'}
local function report(id, waited)
  local t = redis.call('HMGET', P .. 'task:' .. id, 'attempt', 'queue', 'handler', 'priority', 'deadline_us', 'payload')
  out[#out + 1] = id
  for i = 1, 6 do out[#out + 1] = t[i] end
  out[#out + 1] = int(waited)
end

if a[5] == nonce then
  for id, attempt in string.gmatch(a[6], '(%S+) (%S+)') do
    if holds(agent, id, attempt) then report(id, 0) end
  end
end
if a[2] == session then
  out[1] = 'detached'
  return out
end

local has = {}
for i = 6, #ARGV do has[ARGV[i]] = true end
local function fits(shape)
  for cap in string.gmatch(shape, '[^,]+') do
    if not has[cap] then return false end
  end
  return true
end

local function head(shape)
  local h = redis.call('ZRANGE', P .. 'ready:' .. shape, 0, 0, 'WITHSCORES')
  if #h == 0 then return nil end
  return {id = h[1], score = tonumber(h[2]), shape = shape}
end

local function best(heads)
  local found = nil
  for _, h in pairs(heads) do
    if not found or h.score < found.score or (h.score == found.score and h.id < found.id) then found = h end
  end
  return found
end

local function start(id, queue)
  redis.call('HINCRBY', P .. 'task:' .. id, 'attempt', 1)
  redis.call('HSET', P .. 'task:' .. id, 'state', 'running', 'agent', agent, 'started_us', int(now))
  redis.call('SADD', held, id)
  renew(id, lease)
  count(queue, 'executions', 1)
  count(queue, 'running', 1)
end

local free = tonumber(a[3]) - redis.call('SCARD', held)
-- A frozen agent keeps its stream open; without this it would take a task back
-- each time its lease ran out, until no attempt is left.
if tonumber(redis.call('ZSCORE', P .. 'agents', agent) or 0) + lease <= now then free = 0 end
local heads = {}
if free > 0 and a[5] ~= nonce then
  for _, shape in ipairs(redis.call('HKEYS', P .. 'shapes')) do
    if fits(shape) then heads[shape] = head(shape) end
  end
end
local claimed = {}
local h = best(heads)
while h and free > 0 and #claimed < most do
  local t = redis.call('HMGET', P .. 'task:' .. h.id, 'queue', 'deadline_us', 'ready_us')
  unqueue(h.id, t[1], h.shape)
  if t[2] ~= '0' and tonumber(t[2]) <= now then
    count(t[1], 'expired', 1)
    finish(h.id, 'dead', '', 'the deadline passed')
  else
    start(h.id, t[1])
    free = free - 1
    -- Both sides were there from the later of the two instants on.
    report(h.id, now - math.max(tonumber(t[3]), tonumber(a[4])))
    claimed[#claimed + 1] = h.id .. ' ' .. redis.call('HGET', P .. 'task:' .. h.id, 'attempt')
  end
  heads[h.shape] = head(h.shape)
  h = best(heads)
end
if #claimed > 0 then
  redis.call('HSET', key, 'claim_nonce', nonce, 'claim_ids', table.concat(claimed, ' '))
end
out[2] = int(free)
return out
