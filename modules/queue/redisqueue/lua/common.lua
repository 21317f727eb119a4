-- What all scripts share, and all that a push needs: what a script begins with is made anew
-- each time that it runs.

-- clock is the time in us.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function pack(n) return string.char(math.floor(n / 256), n % 256) end
local function reference(base, first, count) return base .. pack(first) .. pack(count) end

-- each calls a command with a list's values, some thousand at a time.
local function each(command, key, values)
  for i = 1, #values, 4000 do
    redis.call(command, key, unpack(values, i, math.min(i + 3999, #values)))
  end
end

-- enter adds to an hour's counts; key is which of KEYS, 0: do not count.
local function enter(key, field, n, keep)
  if key == 0 or n == 0 then return end
  -- The hour's first count sets when it is forgotten.
  if redis.call('HINCRBY', KEYS[key], field, n) == n and keep > 0 then
    redis.call('PEXPIRE', KEYS[key], keep, 'NX')
  end
end
