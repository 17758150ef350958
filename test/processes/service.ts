/** A child process for the tests of spawnService: does what its first argument says. */
import { announceReady, spawnService } from '#host/process.js'

const [what] = process.argv.slice(2)
const forever = () => setInterval(() => undefined, 1000)

if (what === 'ready') {
  forever()
  process.stderr.write('a line of the log\n')
  announceReady({ pid: process.pid, env: Object.keys(process.env).sort() }, async () => undefined)
} else if (what === 'parent') {
  const child = await spawnService('test/processes/service.js', { args: ['ready'] })
  forever()
  announceReady({ child: child.pid }, async () => undefined)
} else if (what === 'garbage') {
  forever()
  process.stdout.write('not json\n')
} else if (what === 'deaf') {
  forever()
  process.on('SIGTERM', () => undefined)
  process.stdout.write('{}\n')
} else if (what === 'late') {
  forever()
} else {
  process.exit(7)
}
