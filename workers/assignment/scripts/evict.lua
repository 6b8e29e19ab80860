-- Gives memory back while Redis is nearly full: submits would be refused next. ARGV:
-- most tasks for one call, percents of maxmemory from which bodies go and from which
-- tasks go whole, ms that an archived task stays. Oldest archived first; a body's task
-- stays known by its idempotency key, and is read from the archive. Answers how many
-- bodies and how many tasks went.
local most, bodies_from, whole_from, keep = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local archived, bodiless = P .. 'archived', P .. 'bodiless'
local gone = '(' .. int(now - keep * 1000)
redis.call('ZREMRANGEBYSCORE', archived, '-inf', gone)
redis.call('ZREMRANGEBYSCORE', bodiless, '-inf', gone)
local memory = redis.call('INFO', 'memory')
local max = tonumber(string.match(memory, '\nmaxmemory:(%d+)'))
if max == 0 then return {0, 0} end
local full = tonumber(string.match(memory, '\nused_memory:(%d+)')) / max * 100
local bodies, whole = 0, 0

local function drop(set)
  for _, id in ipairs(redis.call('ZRANGE', set, 0, most - whole - 1)) do
    local key = redis.call('HGET', P .. 'task:' .. id, 'key')
    redis.call('ZREM', set, id)
    redis.call('DEL', P .. 'task:' .. id)
    if key and key ~= '' and redis.call('GET', P .. 'key:' .. key) == id then redis.call('DEL', P .. 'key:' .. key) end
    whole = whole + 1
  end
end

if full >= whole_from then
  drop(bodiless)
  if whole < most then drop(archived) end
elseif full >= bodies_from then
  local old = redis.call('ZRANGE', archived, 0, most - 1, 'WITHSCORES')
  for i = 1, #old, 2 do
    local task = P .. 'task:' .. old[i]
    local fields = {}
    for _, name in ipairs(redis.call('HKEYS', task)) do
      if name ~= 'id' and name ~= 'key' and name ~= 'digest' and name ~= 'queue' then fields[#fields + 1] = name end
    end
    redis.call('ZREM', archived, old[i])
    if #fields > 0 then
      redis.call('HDEL', task, unpack(fields))
      redis.call('ZADD', bodiless, old[i + 1], old[i])
    end
    bodies = bodies + 1
  end
end
return {bodies, whole}
