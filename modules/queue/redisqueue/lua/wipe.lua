-- Writes payloads anew that hold messages which are done.
--
--   ARGV  for each payload: block key, payload
--   →     how many were still there
local n = 0
for at = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[at]) == 1 then
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
    n = n + 1
  end
end
return n
