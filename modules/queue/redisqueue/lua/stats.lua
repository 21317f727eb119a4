-- Describes a partition.
--
--   ARGV  1 how many held and delayed messages are looked at for the oldest
--         2 up to how many blocks each message is counted anew
--   →     {all, held, delayed, dead, members and ids to find the oldest of, the first burial in us}
--
-- Messages that are gone, though the counts of n say otherwise, are not counted: those
-- without a payload, and those that nothing leads to any more. Where there are more
-- blocks that is seen only of a whole key.
--
-- What was held too long, or has waited for its time, is ready: the next claim gets
-- it. There is little of it, as each claim puts some back; beyond 500 the rest is still
-- counted where it was, so that this stays short on a busy server.
local look = tonumber(ARGV[1])
local n = redis.call('HMGET', KEYS[6], 't', 'h', 'd')
local counts, olds = {tonumber(n[1]) or 0, tonumber(n[2]) or 0, tonumber(n[3]) or 0}, {}
local few, length = tonumber(ARGV[2]), redis.call('LLEN', KEYS[1])
if redis.call('HLEN', KEYS[2]) <= few and length <= 4 * few then
  local refs, there, seen, sum = {}, {}, {}, {0, 0, 0}
  for _, ref in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do refs[string.sub(ref, 1, 16)] = number(ref, 19) end
  local payloads = redis.call('HKEYS', KEYS[2])
  for _, k in ipairs(payloads) do there[k] = true end
  for _, k in ipairs(payloads) do
    local base = string.sub(k, 1, 16)
    local list = record(base)
    if not list then
      sum[READY] = sum[READY] + (refs[base] or 0)
    elseif not seen[base] then
      seen[base] = true
      for _, r in ipairs(list) do
        local led = refs[base]
        if zsets[r.w] then led = redis.call('ZSCORE', zsets[r.w], base .. pack(r.f)) end
        if led and there[r.o == 1 and base .. pack(r.f) or base] then sum[r.w] = sum[r.w] + r.n end
      end
    end
  end
  counts = {sum[READY] + sum[HELD] + sum[DELAYED], sum[HELD], sum[DELAYED]}
else
  if length == 0 then counts[1] = counts[2] + counts[3] end
  for w, set in pairs(zsets) do
    if redis.call('ZCARD', set) == 0 then
      counts[1] = counts[1] - counts[w]
      counts[w] = 0
    end
  end
end
for w, set in pairs(zsets) do
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, 500)) do
    for _, r in ipairs(record(string.sub(m, 1, 16)) or {}) do
      if r.w == w and r.f == number(m, 17) then counts[w] = counts[w] - r.n end
    end
  end
  for _, m in ipairs(redis.call('ZRANGE', set, 0, look - 1)) do olds[#olds + 1] = m end
  for _, m in ipairs(redis.call('ZREVRANGE', set, 0, look - 1)) do olds[#olds + 1] = m end
end
olds[#olds + 1] = redis.call('LINDEX', KEYS[1], 0) or nil
local first = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
local oldest = ''
for _, m in ipairs(olds) do
  m = string.sub(m, 1, 16)
  if oldest == '' or m < oldest then oldest = m end
end
local dead = math.min(redis.call('ZCARD', KEYS[7]), redis.call('HLEN', KEYS[8]))
return {counts[1], counts[2], counts[3], dead, oldest, first[2] or ''}
