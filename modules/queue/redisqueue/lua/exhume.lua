-- Takes dead letters away: back into their queue, or for good.
--
--   ARGV  1 how long counts are kept, in ms
--         for each letter: its id, which of KEYS (0: do not count), pixel, payload to revive it with (empty: it is dropped)
--   →     how many there were
local keep, n = tonumber(ARGV[1]), 0
for at = 2, #ARGV, 4 do
  local id, key, pixel, payload = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  if redis.call('HDEL', KEYS[8], id) == 1 then
    redis.call('ZREM', KEYS[7], id)
    n = n + 1
    if payload == '' then
      enter(key, pixel .. '\0dropped\0dead', 1, keep)
    else
      local base, index = string.sub(id, 1, 16), number(id, 17)
      if not record(base) then records[base] = {} end
      put(base, {f = index, n = 1, d = 0, l = 0, w = READY, o = 1})
      redis.call('HSET', KEYS[2], id, payload)
      redis.call('RPUSH', KEYS[1], reference(base, index, 1))
      total = total + 1
      enter(key, pixel .. '\0revived', 1, keep)
      enter(key, pixel .. '\0revived\0dead', 1, keep)
    end
  end
end
save()
return n
