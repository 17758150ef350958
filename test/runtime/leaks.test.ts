import { describe, expect, test } from 'vitest'
import { weakenings } from '#core/wire/runtime-config.js'
import { readHostState } from '#runtime/engine/host-state.js'
import { findLeaks, type HostState } from '#runtime/leaks.js'
import { BrokerDouble } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { NodeDouble } from '#test/fakes/node-double.js'
import { testTime } from '#test/fakes/platform.js'

const heading = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'
const limits = (soft: string, hard: string) =>
  `Limit                     Soft Limit           Hard Limit           Units     \nMax core file size        ${soft.padEnd(20)} ${hard.padEnd(20)} bytes     \n`
const tight: HostState = {
  swaps: heading,
  corePattern: 'core\n',
  limits: limits('0', '0'),
  flags: ['--disable-sigusr1', ''],
  writesReports: false,
  hasInspector: false,
}

describe('memory can leave a machine', () => {
  const cases: readonly (readonly [string, Partial<HostState>, readonly string[]])[] = [
    ['not where nothing takes it', {}, []],
    ['by swap', { swaps: `${heading}/dev/zram0  partition 8000 0 100\n` }, ['swap']],
    ['by swap that nobody could look at', { swaps: null }, ['swap']],
    ['by a core file that the limit allows', { limits: limits('0', 'unlimited') }, ['core-dump']],
    ['by a core file, the limit not known', { limits: null }, ['core-dump']],
    [
      'by a program that takes dumps, whatever the limit',
      { corePattern: '|/usr/share/apport/apport %p' },
      ['core-dump'],
    ],
    ['by a pattern that nobody could look at', { corePattern: null }, ['core-dump']],
    ['not by a program that drops dumps', { corePattern: '|/bin/false\n', limits: null }, []],
    ['not by no pattern', { corePattern: '\n', limits: null }, []],
    ['by a report', { writesReports: true }, ['diagnostic-report']],
    ['by a report by flag', { flags: ['--report-on-signal'] }, ['diagnostic-report']],
    ['by a heap snapshot', { flags: ['--heapsnapshot-signal=SIGUSR2'] }, ['heap-snapshot']],
    ['by a heap profile', { flags: ['--heap_prof'] }, ['heap-snapshot']],
    ['by an inspector', { hasInspector: true }, ['inspector']],
    ['by a dump on an exception', { flags: ['--abort-on-uncaught-exception'] }, ['core-dump']],
    [
      'by all of it, each named once',
      { swaps: null, corePattern: null, flags: ['--inspect-brk', '--inspect'] },
      ['swap', 'core-dump', 'inspector'],
    ],
  ]
  test.each(cases)('%s', (_, change, expected) => {
    expect(findLeaks({ ...tight, ...change })).toEqual(expected)
  })

  test('what is read here is judged', async () => {
    const state = await readHostState()
    expect(state.swaps).toContain('Filename')
    expect(findLeaks({ ...state, ...tight })).toEqual([])
  })
})

describe('a node on a machine that leaks', () => {
  async function node(tenantClass: 'production' | 'development') {
    const broker = await BrokerDouble.create(() => testTime)
    broker.trust = await broker.signTrust({ class: tenantClass, independentWitnesses: ['w1'] })
    const made = new NodeDouble(broker)
    made.platform = broker.platform = tenantClass === 'production' ? 'hardware' : 'simulated'
    made.settings = { leaks: ['swap', 'core-dump'] }
    return made
  }

  test('does not start for a production tenant: nobody is asked, no process is started', async () => {
    const production = await node('production')
    expect(await codeOfPromise(production.start())).toBe('own/leaks')
    expect([production.engines.length, production.broker.calls]).toEqual([0, []])
    production.settings = {}
    expect(await codeOfPromise(production.start())).toBe('ok')
  })

  test('says so to everyone for a development tenant, bound into its evidence', async () => {
    const session = await (await node('development')).start()
    const document = session.document(null)
    expect(document.config.leaks).toEqual(['swap', 'core-dump'])
    expect(document.weakenings).toEqual(weakenings(document.config))
    expect(document.weakenings).toContain('memory can leave the node: swap')
  })
})
