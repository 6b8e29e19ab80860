-- Stores a round of chunks in one mailbox, as one entry.
-- KEYS: log, state, then one key for each chunk: what its identity is known by.
-- ARGV: most messages not acknowledged ('0': a topic, which drops its oldest),
-- most entries of a topic, ms that an untouched mailbox is kept, ms that an id
-- is remembered; then for each chunk: first sequence number ('0': it has an id
-- instead), how many messages, the record.
-- Answers the cursor before, the cursor now, and for each chunk one of:
-- stored <cursor>, duplicate <cursor or ''>, part <last stored>, gap <last stored>, full.
-- Ids: <ms>-<number of the entry's last message>. Numbers are dense; the time in
-- front keeps a number that a failover took back from being taken for its successor.
local most, entries, keep, remember = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local state = redis.call('HMGET', KEYS[2], 'ms', 'n', 'an', 'kept')
local was, n, acked = tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0)
local now = redis.call('TIME')
local ms = math.max(was, now[1] * 1000 + math.floor(now[2] / 1000))
local function id(at, number) return string.format('%.0f-%.0f', at, number) end
local out, accepted, before = {id(was, n), ''}, {}, n
for i = 3, #KEYS do
  local at = 5 + (i - 3) * 3
  local seq, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local known = redis.call('GET', KEYS[i])
  local last = tonumber(seq > 0 and known or 0)
  local said
  if seq == 0 and known then said = 'duplicate ' .. known
  elseif seq > last + 1 then said = 'gap ' .. string.format('%.0f', last)
  elseif seq > 0 and seq + count - 1 <= last then said = 'duplicate '
  elseif seq > 0 and seq <= last then said = 'part ' .. string.format('%.0f', last)
  elseif most > 0 and n - acked + count > most then said = 'full'
  else
    n = n + count
    accepted[#accepted + 1] = ARGV[at + 2]
    said = 'stored ' .. id(ms, n)
    if seq > 0 then redis.call('SET', KEYS[i], string.format('%.0f', seq + count - 1), 'PX', keep)
    else redis.call('SET', KEYS[i], id(ms, n), 'PX', remember) end
  end
  out[#out + 1] = said
end
out[2] = id(ms, n)
if n > before then
  if most > 0 then redis.call('XADD', KEYS[1], out[2], 'd', table.concat(accepted))
  else redis.call('XADD', KEYS[1], 'MAXLEN', '~', entries, out[2], 'd', table.concat(accepted)) end
  redis.call('HSET', KEYS[2], 'ms', string.format('%.0f', ms), 'n', string.format('%.0f', n))
  -- Its life is drawn out once an hour: each write here is one more in the AOF.
  if ms - tonumber(state[4] or 0) > 3600000 then
    redis.call('HSET', KEYS[2], 'kept', string.format('%.0f', ms))
    redis.call('PEXPIRE', KEYS[1], keep)
    redis.call('PEXPIRE', KEYS[2], keep)
  end
end
return out
