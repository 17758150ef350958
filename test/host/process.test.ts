import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { packageRoot, type SpawnOptions, spawnService } from '#host/process.js'

const service = (what: string, options: SpawnOptions = {}) =>
  spawnService('test/processes/service.js', { args: [what], ...options })
const runs = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

async function ends(pid: number): Promise<void> {
  for (let i = 0; i < 1200 && runs(pid); i++) await pause(25)
  expect(runs(pid)).toBe(false)
}

describe('a service in a process of its own', () => {
  test('says that it is ready, logs, and ends when asked', async () => {
    const lines: string[] = []
    const env = { EXTRA: 'x' }
    const one = await service('ready', { env, onLogLine: (line) => lines.push(line) })
    expect(one.ready).toMatchObject({ pid: one.pid })
    await one.stop()
    expect(await one.ended).toBe(0)
    expect(lines).toEqual(['a line of the log'])
    expect(runs(one.pid)).toBe(false)
  })

  test('gets nothing of the environment that loads code', async () => {
    process.env.NODE_OPTIONS_LOOKALIKE = 'x'
    const one = await service('ready')
    expect((one.ready as { env: string[] }).env).not.toContain('NODE_OPTIONS_LOOKALIKE')
    expect((one.ready as { env: string[] }).env).toContain('PATH')
    await one.kill()
    expect(await one.ended).toBeNull()
  })

  test('does not outlive a parent that was killed', async () => {
    const parent = await service('parent')
    const { child } = parent.ready as { child: number }
    expect(runs(child)).toBe(true)
    await parent.kill()
    await ends(child)
  })

  test('is ended when it does not heed being asked', async () => {
    const deaf = await service('deaf')
    await deaf.stop(100)
    expect(runs(deaf.pid)).toBe(false)
  })

  test.each([
    ['ends before it is ready', 'exit', 'process/ended'],
    ['says something else than JSON', 'garbage', 'process/ready-line'],
    ['is not ready in time', 'late', 'process/late'],
  ])('that %s is refused', async (_name, what, code) => {
    // Short only where time itself is what is waited for: on a busy machine a program takes seconds to start.
    const options = code === 'process/late' ? { readyMs: 500 } : {}
    await expect(service(what, options)).rejects.toMatchObject({ code })
  })

  test('that is not built is refused', async () => {
    await expect(spawnService('nowhere.js')).rejects.toMatchObject({ code: 'process/absent' })
    expect(existsSync(join(packageRoot(), 'package.json'))).toBe(true)
  })
})
