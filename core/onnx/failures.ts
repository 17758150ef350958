/**
 * What belongs in core/onnx: a strict, bounded reader of ONNX graphs that says what a graph would make an engine do:
 * which operators run, which files are opened, what goes in and out. No weights are read and nothing is run.
 */
export type OnnxCode =
  /** the bytes are no protobuf, or use a part of it that ONNX does not */
  | 'onnx/protobuf'
  /** a field that this reader does not know, or that occurs twice: an engine may read it otherwise */
  | 'onnx/field'
  /** more of something than any real graph has */
  | 'onnx/limit'
  /** no graph, or no operator set */
  | 'onnx/model'
  /** an operator of a domain off the list, or one that loads code or files */
  | 'onnx/operator'
  /** external data outside the model's folder, or not in it */
  | 'onnx/location'
