import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { integer, object } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { databaseConfig, parseConfig } from '#host/config.js'
import { describeError } from '#host/log.js'

describe('a configuration', () => {
  const shape = object({ port: integer({ max: 65_535 }) })

  test('has the members that its service knows, and no others', () => {
    expect(parseConfig(utf8('{"port":80}'), shape, 'a.json')).toEqual({ port: 80 })
    for (const text of ['{"port":80,"prot":1}', '{}', '{"port":70000}', 'port: 80', '{"port":1,"port":2}']) {
      expect(() => parseConfig(utf8(text), shape, 'a.json')).toThrow(
        expect.objectContaining({ code: 'config/invalid' }),
      )
    }
    expect(() => parseConfig(utf8('{"port":80,"prot":1}'), shape, 'a.json')).toThrow(/a\.json.*"prot"/)
  })

  test('names Postgres by URL, or else a folder', () => {
    expect(databaseConfig(undefined, '/x')).toEqual({ folder: '/x' })
    expect(databaseConfig('postgres://h/d', '/x')).toEqual({ url: 'postgres://h/d' })
    expect(() => databaseConfig('mysql://h/d', '/x')).toThrow(expect.objectContaining({ code: 'config/invalid' }))
  })
})

describe('a log', () => {
  test('tells a failure by its code and a bug by its place', () => {
    expect(describeError(new Failure('a/b', 'why'))).toEqual({ code: 'a/b', failure: 'why' })
    const bug = describeError(new RangeError('value hunter2'))
    expect(bug).toMatchObject({ bug: 'RangeError', at: expect.stringContaining('config.test') })
    expect(JSON.stringify(bug)).not.toContain('hunter2')
  })

  test('writes JSON lines to standard error and drops names of secrets', () => {
    const script = `
      const { createLog } = await import('./dist/host/log.js')
      createLog('test', 'info').info({ token: 'hunter2', body: 'hunter2', count: 3 }, 'done')`
    const text = execFileSync('sh', ['-c', `${process.execPath} --input-type=module -e "$0" 2>&1 >/dev/null`, script], {
      encoding: 'utf8',
      cwd: new URL('../..', import.meta.url).pathname,
    })
    expect(JSON.parse(text)).toMatchObject({ service: 'test', count: 3, msg: 'done' })
    expect(text).not.toContain('hunter2')
  })
})
