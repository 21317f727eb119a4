-- Moves messages to the dead letters, and counts them.
--
--   ARGV  1 how long counts are kept, in ms  2 w: only those that wait (empty: all)
--         for each message: its id, messages in the block, which of KEYS (0: do not count),
--         pixel, letter without its first byte, which is how often it was delivered
--   →     how many there were
local keep, waiting = tonumber(ARGV[1]), ARGV[2] == 'w'
local allowed = {true, not waiting, true}
local last = redis.call('ZRANGE', KEYS[7], -1, -1, 'WITHSCORES')
local score = math.max(nowus, (tonumber(last[2]) or 0) + 1)
local n = 0
for at = 3, #ARGV, 5 do
  local id, key, pixel = ARGV[at], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local base = string.sub(id, 1, 16)
  if waiting and not record(base) and redis.call('HEXISTS', KEYS[2], base) == 1 then whole(base, tonumber(ARGV[at + 1])) end
  local cuts = cut(base, number(id, 17), 1, allowed)
  if #cuts == 1 then
    finish(base, cuts)
    redis.call('HSET', KEYS[8], id, string.char(cuts[1].d) .. ARGV[at + 4])
    redis.call('ZADD', KEYS[7], string.format('%.0f', score), id)
    enter(key, pixel .. '\0buried', 1, keep)
    enter(key, pixel .. '\0in\0dead', 1, keep)
    score = score + 1
    n = n + 1
  end
end
save()
return n
