-- Posts the bodies of a file, one a line, over and over; at `rate` requests a second, or as fast as answers come.
-- wrk … -s post.lua URL -- FILE TOKEN RATE

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long microseconds; } bench_instant;
  int gettimeofday(bench_instant *now, void *zone);
]]

local bodies, place, rate, started, sent = {}, 0, 0, 0, 0
local headers = { ["Content-Type"] = "application/json" }
local instant = ffi.new("bench_instant")

local function now()
  ffi.C.gettimeofday(instant, nil)
  return tonumber(instant.seconds) * 1e6 + tonumber(instant.microseconds)
end

function init(args)
  for line in io.lines(args[1]) do
    table.insert(bodies, line)
  end
  headers["Authorization"] = "Bearer " .. args[2]
  rate = tonumber(args[3])
  started = now()
  if rate == 0 then delay = nil end
end

-- Each request has its instant; a late one goes at once, so that the rate is kept on the whole.
function delay()
  sent = sent + 1
  return math.max(0, math.floor((started + sent / rate * 1e6 - now()) / 1000))
end

function request()
  place = place % #bodies + 1
  return wrk.format("POST", nil, headers, bodies[place])
end

function done(summary)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %d\n",
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
