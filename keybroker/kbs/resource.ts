import { Failure } from '#core/failure.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'

/** `<repository>/<type>/<tag>`, as it stands in the route. */
export interface ResourcePath {
  readonly repository: string
  readonly type: string
  readonly tag: string
  /** the three with slashes between them */
  readonly text: string
}

/** A model key's place: the first segment is the thumbprint of its owner's key. */
export interface ModelKeyPath {
  readonly model: string
  readonly version: number
}

// A segment cannot begin with a dot, so that none of them is `.` or `..`.
const segmentForm = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$/
const ownerForm = /^[A-Za-z0-9_-]{43}$/
const versionForm = /^[1-9][0-9]{0,8}$/

/**
 * The path of a resource: exactly three segments of letters, digits, `_`, `-` and `.`, none beginning with a dot.
 * Percent signs are none of these: an encoded path is refused, not decoded.
 *
 * throws  kbs/path
 * source  trustee kbs/src/plugins/implementations/resource/backend.rs
 */
export function parseResourcePath(text: string): ResourcePath {
  const segments = text.split('/', 4)
  const [repository, type, tag] = segments
  if (segments.length !== 3 || !segments.every((one) => segmentForm.test(one))) {
    throw new Failure<KbsCode>('kbs/path', 'a resource path has three segments: letters, digits, "_", "-", "."')
  }
  return { repository: repository!, type: type!, tag: tag!, text: segments.join('/') }
}

/** Whether a repository is an owner's space: it is called like the thumbprint of a key. */
export function isOwnersRepository(repository: string): boolean {
  return ownerForm.test(repository)
}

/**
 * Whether the path lies in an owner's space, `<owner>/<name>/<version>`. What lies there is decided by that owner's
 * signed statements alone; nobody uploads there.
 */
export function isOwnersPath(path: ResourcePath): boolean {
  return isOwnersRepository(path.repository)
}

/** The model and version that a path in an owner's space names; null when it can name none. */
export function modelKeyOf(path: ResourcePath): ModelKeyPath | null {
  if (!isOwnersPath(path) || !versionForm.test(path.tag)) return null
  return { model: `${path.repository}/${path.type}`, version: Number(path.tag) }
}
