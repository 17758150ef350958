import { describe, expect, test } from 'vitest'
import { Failure } from '#core/failure.js'
import { openDatabase } from '#host/database.js'
import { brokerMetrics } from '#keybroker/service/metrics.js'
import { readinessOf } from '#keybroker/service/readiness.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { ask, granted, registered, testNode } from './fixtures.js'

const well = { database: 'ok', log: 'ok', witnesses: 'ok', key: 'ok' }

describe.each(databasesUnderTest())('what a broker stands on, on $name', ({ open }) => {
  test('is looked at part by part, and each can fail', async () => {
    const chain = await registered(await open())
    const { broker, database, log, testLog } = chain.test
    const of = (options: object = {}) =>
      readinessOf({ broker, database, refresh: () => log.refresh(), nowMs: () => 0, ...options })()
    expect(await of()).toEqual(well)

    testLog.witnesses[0]!.away = true
    expect(await of()).toEqual({ ...well, witnesses: 'log/witness-unavailable' })
    testLog.witnesses[0]!.away = false

    const unwrapDek = async () => {
      throw new Failure('kek/vault-sealed', 'Vault is sealed')
    }
    expect(await of({ broker: { ...broker, kek: { ...broker.kek, unwrapDek } } })).toEqual({
      ...well,
      key: 'kek/vault-sealed',
    })
    const never = { ...broker.kek, wrapDek: () => new Promise<never>(() => undefined) }
    expect(await of({ broker: { ...broker, kek: never }, timeoutMs: 500 })).toEqual({ ...well, key: 'timeout' })

    broker.heads.halt(new Failure('broker/rollback', 'behind'))
    expect(await of()).toEqual({ ...well, log: 'broker/rollback' })
    broker.heads.resume(new Set())

    const gone = await openDatabase({ memory: true })
    await gone.close()
    const { database: state, ...rest } = await of({ database: gone })
    expect(state).not.toBe('ok')
    expect(rest).toEqual({ log: 'ok', witnesses: 'ok', key: 'ok' })
    await chain.test.close()
  })

  test('is asked once in a while, however often somebody wants to know', async () => {
    const chain = await registered(await open())
    const { broker, database } = chain.test
    let asked = 0
    let now = 0
    const refresh = async () => void asked++
    const ready = readinessOf({ broker, database, refresh, nowMs: () => now })
    await Promise.all([ready(), ready(), ready()])
    expect(asked).toBe(1)
    now += 5000
    await ready()
    expect(asked).toBe(2)
    await chain.test.close()
  })

  test('is told in figures that name no tenant, model or node', async () => {
    const chain = await registered(await open())
    const { broker, database, log } = chain.test
    granted(await ask(chain, await testNode(chain)))
    const ready = readinessOf({ broker, database, refresh: () => log.refresh(), nowMs: () => 0 })
    const text = await brokerMetrics({ ready, log, store: broker.store }).text()
    expect(text).toContain('\nclaviger_ready_key 1\n')
    expect(text).toContain(`\nclaviger_log_entries ${log.size()}\n`)
    expect(text).toContain('\nclaviger_entries_pending 0\n')
    for (const name of [chain.owner.id, chain.owner.model, broker.signer.id]) expect(text).not.toContain(name)
    await chain.test.close()
  })
})
