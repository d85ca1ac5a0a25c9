# What the rows of puma serve. Its version, for the load, is the worker's pid and when it started.

version = "#{Process.pid}.#{(Time.now.to_f * 1000).to_i}"

class Slow
  def each
    10.times do
      sleep 0.1
      yield "hello\n"
    end
  end
end

run(lambda do |env|
  headers = { 'content-type' => 'text/plain', 'x-generation' => version }
  if env['PATH_INFO'] == '/slow'
    [200, headers, Slow.new]
  else
    env['rack.input'].read
    [200, headers.merge('content-length' => '6'), ["hello\n"]]
  end
end)
