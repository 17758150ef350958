import { execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** The folder of the newest Postgres that Debian installed; undefined without one. */
export function postgresBinaries(): string | undefined {
  const root = '/usr/lib/postgresql'
  if (!existsSync(root)) return undefined
  const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a))
  return versions.map((version) => join(root, version, 'bin')).find((folder) => existsSync(join(folder, 'initdb')))
}

/** Postgres refuses to run as root: then it runs as its own user. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const users = readFileSync('/etc/passwd', 'utf8').split('\n')
  const line = users.find((one) => one.startsWith('postgres:')) ?? users.find((one) => one.startsWith('nobody:'))
  const [, , uid, gid] = line?.split(':') ?? []
  if (uid === undefined || gid === undefined) throw new Error('no user to run Postgres as')
  return { uid: Number(uid), gid: Number(gid) }
}

const clusterOf = (runFolder: string) => ({
  folder: `${runFolder}-pg`,
  data: `${runFolder}-pg/data`,
  ready: `${runFolder}-pg/ready`,
})

/** The URL of a database of the throwaway cluster, reached by a socket in a folder of its own. */
export function clusterUrl(runFolder: string, database: string): string {
  return `postgres://claviger@localhost/${database}?host=${encodeURIComponent(clusterOf(runFolder).folder)}`
}

/** The cluster of this run is up; the first worker that asks starts it, the others wait. */
export async function startCluster(runFolder: string, binaries: string): Promise<void> {
  const { folder, data, ready } = clusterOf(runFolder)
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch {
    for (let i = 0; i < 600 && !existsSync(ready); i++) await pause(100)
    if (!existsSync(ready)) throw new Error('the Postgres cluster of this run did not start')
    return
  }
  const user = unprivileged()
  if (user) chownSync(folder, user.uid, user.gid)
  const run = (name: string, args: readonly string[]) =>
    execFileSync(join(binaries, name), args, { ...user, cwd: '/', stdio: 'pipe' })
  run('initdb', ['-D', data, '-U', 'claviger', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'])
  const options = `-c listen_addresses= -c unix_socket_directories=${folder} -c max_connections=200 -c shared_buffers=64MB`
  run('pg_ctl', ['-D', data, '-o', options, '-l', join(folder, 'log'), '-w', 'start'])
  // Should the run be killed, nobody would stop the cluster: a watcher outlives it by a second.
  const watch = 'while [ -d "/proc/$1" ]; do sleep 1; done; "$2" -D "$3" -m immediate stop; rm -rf "$4"'
  const parent = readFileSync(join(runFolder, 'pid'), 'utf8')
  spawn('sh', ['-c', watch, 'sh', parent, join(binaries, 'pg_ctl'), data, folder], {
    ...user,
    cwd: '/',
    detached: true,
    stdio: 'ignore',
  }).unref()
  writeFileSync(ready, '')
}

/** The cluster of this run is gone, if there was one. */
export function stopCluster(runFolder: string): void {
  const { folder, data } = clusterOf(runFolder)
  const binaries = postgresBinaries()
  if (!existsSync(folder) || binaries === undefined) return
  execFileSync(join(binaries, 'pg_ctl'), ['-D', data, '-m', 'immediate', '-w', 'stop'], {
    ...unprivileged(),
    cwd: '/',
    stdio: 'pipe',
  })
  rmSync(folder, { recursive: true, force: true })
}

/** A standby of the cluster of this run; what ends it. @returns its URL */
export function startStandby(
  runFolder: string,
  binaries: string,
): { readonly url: string; readonly promote: () => void; readonly stop: () => void } {
  const { folder } = clusterOf(runFolder)
  const standby = `${folder}/standby`
  const run = (name: string, args: readonly string[]) =>
    execFileSync(join(binaries, name), args, { ...unprivileged(), cwd: '/', stdio: 'pipe' })
  run('pg_basebackup', ['-h', folder, '-U', 'claviger', '-D', standby, '-R', '-c', 'fast', '--no-sync'])
  const options = `-c listen_addresses= -c unix_socket_directories=${folder} -c port=5433 -c max_connections=200`
  run('pg_ctl', ['-D', standby, '-o', options, '-l', join(folder, 'standby-log'), '-w', 'start'])
  return {
    url: `postgres://claviger@localhost:5433/postgres?host=${encodeURIComponent(folder)}`,
    promote: () => void run('pg_ctl', ['-D', standby, '-w', 'promote']),
    stop() {
      run('pg_ctl', ['-D', standby, '-m', 'immediate', '-w', 'stop'])
      rmSync(standby, { recursive: true, force: true })
    },
  }
}
