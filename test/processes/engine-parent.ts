/**
 * What belongs in test/processes: programs that tests start, kill and scan from outside. They are compiled to dist.
 *
 * This one is the parent of an engine, as a node is: it relays the sealed key and never sees it opened.
 */
import { type Engine, type EngineOptions, type LoadRequest, startEngine } from '#runtime/engine/start.js'

/** What the test asks over the channel; the answer has the same `id`. */
export type ParentRequest =
  | { readonly id: number; readonly do: 'start'; readonly options: EngineOptions }
  | { readonly id: number; readonly do: 'load'; readonly request: LoadRequest }
  | { readonly id: number; readonly do: 'infer'; readonly row: Float32Array }
  | { readonly id: number; readonly do: 'unload' }

let engine: Engine | undefined

async function answer(request: ParentRequest): Promise<unknown> {
  if (request.do === 'start') {
    engine = await startEngine(request.options)
    return { pid: engine.pid, releaseKey: engine.releaseKey }
  }
  if (engine === undefined) throw new Error('no engine was started')
  if (request.do === 'load') return engine.load(request.request)
  if (request.do === 'unload') return engine.unload()
  const shape = [1, request.row.length]
  return engine.infer([{ name: 'x', datatype: 'FP32', shape, data: request.row }], [])
}

process.on('message', (message) => {
  const request = message as ParentRequest
  answer(request).then(
    (value) => process.send!({ id: request.id, value }),
    (error: unknown) => process.send!({ id: request.id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
