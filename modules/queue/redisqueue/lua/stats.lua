-- Describes a partition.
--
--   ARGV  1 how many held and delayed messages are looked at for the oldest
--   →     {all, held, delayed, dead, members and ids to find the oldest of, the first burial in us}
--
-- What was held too long, or has waited for its time, is ready: the next claim gets
-- it. There is little of it, as each claim puts some back; beyond 500 the rest is still
-- counted where it was, so that this stays short on a busy server.
local look = tonumber(ARGV[1])
local n = redis.call('HMGET', KEYS[6], 't', 'h', 'd')
local counts, olds = {tonumber(n[1]) or 0, tonumber(n[2]) or 0, tonumber(n[3]) or 0}, {}
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
return {counts[1], counts[2], counts[3], redis.call('ZCARD', KEYS[7]), oldest, first[2] or ''}
