package redisqueue

import "github.com/redis/go-redis/v9"

// claimScript hands out messages.
//
//	KEYS  1 ready list  2 out  3 leases  4 delayed
//	ARGV  1 how many  2 lease in ms  3 most deliveries
//	→     {elements handed out, ids of poison, ms until a message comes back by itself (-1: never)}
//
// First it puts back, in front of the list, what was held too long and what has
// waited for its time: of each as many as are asked for at most, so that no call
// takes long. Poison was handed out often enough; it is leased like the others
// and not handed out, for the caller to bury: the dead letters live in another
// slot.
//
// An element whose id is held already is a second copy of it, left by a push that
// the client sent again because the connection broke before the answer: it is
// dropped, or else two would hold one message.
var claimScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local want = tonumber(ARGV[1])
for _, from in ipairs({KEYS[4], KEYS[3]}) do
  local ids = redis.call('ZRANGEBYSCORE', from, '-inf', now, 'LIMIT', 0, want)
  if #ids > 0 then
    local elements = redis.call('HMGET', KEYS[2], unpack(ids))
    for i = #ids, 1, -1 do
      if elements[i] then redis.call('LPUSH', KEYS[1], elements[i]) end
    end
    redis.call('HDEL', KEYS[2], unpack(ids))
    redis.call('ZREM', from, unpack(ids))
  end
end
local out, poison = {}, {}
local elements = redis.call('LPOP', KEYS[1], want)
if elements and #elements > 0 then
  local most = tonumber(ARGV[3])
  local ends = now + ARGV[2]
  local ids, hold, lease = {}, {}, {}
  for i, e in ipairs(elements) do ids[i] = string.sub(e, 2, 17) end
  local held = redis.call('HMGET', KEYS[2], unpack(ids))
  local seen = {}
  for i, e in ipairs(elements) do
    local n, id = string.byte(e, 1, 1), ids[i]
    if not held[i] and not seen[id] then
      seen[id] = true
      if n >= most then
        poison[#poison + 1] = id
      else
        e = string.char(n + 1) .. string.sub(e, 2)
        out[#out + 1] = e
      end
      hold[#hold + 1] = id
      hold[#hold + 1] = e
      lease[#lease + 1] = ends
      lease[#lease + 1] = id
    end
  end
  if #hold == 0 then return {out, poison, 0} end
  redis.call('HSET', KEYS[2], unpack(hold))
  redis.call('ZADD', KEYS[3], unpack(lease))
  return {out, poison, -1}
end
local next = -1
for _, from in ipairs({KEYS[4], KEYS[3]}) do
  local first = redis.call('ZRANGE', from, 0, 0, 'WITHSCORES')
  if #first > 0 then
    local wait = math.max(0, first[2] - now)
    if next < 0 or wait < next then next = wait end
  end
end
return {out, poison, next}
`)

// retryScript hands messages back for a time, those still held.
//
//	KEYS  1 ready list  2 out  3 leases  4 delayed
//	ARGV  1 in how many ms  2… ids
//	→     how many
//
// Those whose time is now go in front of the list, where waiting pullers see
// them.
var retryScript = redis.NewScript(`
local t = redis.call('TIME')
local at = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
local now = tonumber(ARGV[1]) <= 0
local n = 0
for i = #ARGV, 2, -1 do
  local id = ARGV[i]
  if redis.call('ZREM', KEYS[3], id) == 1 then
    n = n + 1
    if now then
      local e = redis.call('HGET', KEYS[2], id)
      redis.call('HDEL', KEYS[2], id)
      if e then redis.call('LPUSH', KEYS[1], e) end
    else
      redis.call('ZADD', KEYS[4], at, id)
    end
  end
end
return n
`)

// releaseScript puts messages back in front of the list, those still held, as if
// they had not been handed out.
//
//	KEYS  1 ready list  2 out  3 leases
//	ARGV  ids
//	→     how many
var releaseScript = redis.NewScript(`
local n = 0
for i = #ARGV, 1, -1 do
  local id = ARGV[i]
  if redis.call('ZREM', KEYS[3], id) == 1 then
    local e = redis.call('HGET', KEYS[2], id)
    redis.call('HDEL', KEYS[2], id)
    if e then
      n = n + 1
      redis.call('LPUSH', KEYS[1], string.char(math.max(0, string.byte(e, 1, 1) - 1)) .. string.sub(e, 2))
    end
  end
end
return n
`)

// forgetScript deletes messages that are held or delayed, and counts them.
//
//	KEYS  1 out  2 leases  3 delayed  4 the hour's books
//	ARGV  1 pixel  2 stage, empty: do not count  3 how long the books are kept, in ms  4… ids
//	→     how many
var forgetScript = redis.NewScript(`
local ids = {unpack(ARGV, 4)}
redis.call('ZREM', KEYS[2], unpack(ids))
redis.call('ZREM', KEYS[3], unpack(ids))
local n = redis.call('HDEL', KEYS[1], unpack(ids))
if n > 0 and ARGV[2] ~= '' then
  redis.call('HINCRBY', KEYS[4], ARGV[1] .. '\0' .. ARGV[2], n)
  if ARGV[3] ~= '0' then redis.call('PEXPIRE', KEYS[4], ARGV[3]) end
end
return n
`)

// skipScript takes messages out of the list or the delay set.
//
//	KEYS  1 ready list  2 out  3 leases  4 delayed
//	ARGV  ids
//	→     their elements
//
// They are leased for a minute, for the caller to bury.
var skipScript = redis.NewScript(`
local wanted, found = {}, {}
for _, id in ipairs(ARGV) do
  wanted[id] = true
  if redis.call('ZREM', KEYS[4], id) == 1 then
    redis.call('ZADD', KEYS[3], '+inf', id)
    found[#found + 1] = id
  end
end
for _, e in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local id = string.sub(e, 2, 17)
  if wanted[id] then
    redis.call('LREM', KEYS[1], 1, e)
    redis.call('HSET', KEYS[2], id, e)
    redis.call('ZADD', KEYS[3], '+inf', id)
    found[#found + 1] = id
  end
end
return found
`)
