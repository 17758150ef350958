import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { isFailure } from '#core/failure.js'

/**
 * All that a span may say: closed, so that no secret, no name of a model, tenant, machine or caller, and no text of a failure
 * gets into one. A trace goes to whoever keeps traces, who is nobody in this system.
 */
export interface SpanFacts {
  readonly 'http.request.method'?: string
  /** the pattern, never the path */
  readonly 'http.route'?: string
  readonly 'http.response.status_code'?: number
  readonly 'db.system.name'?: 'postgresql' | 'pglite'
  /** how often a transaction was begun */
  readonly 'claviger.db.attempts'?: number
  /** snp, tdx and so on */
  readonly 'claviger.evidence.kind'?: string
  readonly 'claviger.outcome'?: 'granted' | 'denied' | 'refused'
  readonly 'claviger.kek.provider'?: string
  /** code of a failure; `bug` for anything else */
  readonly 'error.type'?: string
}

/** What went wrong by its code alone: a message may name what is not for whoever keeps traces. */
export const errorType = (error: unknown): SpanFacts => ({ 'error.type': isFailure(error) ? error.code : 'bug' })

const tracer = () => trace.getTracer('claviger')

/**
 * `work` within a span, where the process has an SDK of OpenTelemetry; without one, `work` alone. Context from outside is
 * never taken up: whoever sends a request must not choose what is traced, or under which name.
 */
export async function inSpan<T>(
  name: string,
  facts: SpanFacts,
  work: (add: (more: SpanFacts) => void) => Promise<T>,
  kind: 'internal' | 'server' | 'client' = 'internal',
): Promise<T> {
  const kinds = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT } as const
  const options = { attributes: { ...facts }, kind: kinds[kind], root: kind === 'server' }
  return tracer().startActiveSpan(`claviger ${name}`, options, async (span) => {
    try {
      return await work((more) => void span.setAttributes({ ...more }))
    } catch (error) {
      span.setAttributes({ ...errorType(error) })
      span.setStatus({ code: SpanStatusCode.ERROR })
      throw error
    } finally {
      span.end()
    }
  })
}
