"""The execution providers of ONNX Runtime, and the options that each gets; names and values are those of its manual."""

import hashlib

from fr_core.runtime.session import PIXELS, Plan, Shape

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

Provider = tuple[str, dict[str, str]]


def providers(plan: Plan) -> list[Provider]:
    """The providers of a plan, the one that must be active first; each takes the nodes that those before it left."""
    match plan.spec.kind:
        case "tensorrt":
            return [(TENSORRT, _tensorrt(plan)), (CUDA, _cuda(plan)), (CPU, {})]
        case "cuda":
            return [(CUDA, _cuda(plan)), (CPU, {})]
        case _:
            return [(CPU, {})]


def _cuda(plan: Plan) -> dict[str, str]:
    return {
        "device_id": str(plan.spec.indices[0]),
        "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE, the default, tunes anew for every shape
        "arena_extend_strategy": "kSameAsRequested",  # shapes are few; the default takes the next power of two
        # TF32 rounds inputs to 10 bits of precision; embeddings in f32 must agree with those of the processor.
        "use_tf32": "0",
    }


def _tensorrt(plan: Plan) -> dict[str, str]:
    options = {
        "device_id": str(plan.spec.indices[0]),
        "trt_fp16_enable": "1" if plan.precision == "fp16" else "0",
        "trt_cuda_graph_enable": "0",  # a captured graph may not be run by several threads
        # CUDA picks a detector's likely rows: how many there are depends on the picture, for which TensorRT has no
        # profile, and it is slow where it supports that at all (onnxruntime, pull request 23705).
        "trt_op_types_to_exclude": "Greater,NonZero,Compress",
    }
    if plan.engines is not None:
        # An engine serves one model in one precision; the provider itself puts TensorRT's version and the device's
        # architecture into the names of the files.
        digest = hashlib.sha256(plan.model).hexdigest()[:12]
        folder = str(plan.engines / f"{digest}-{plan.precision}")
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": folder,
        }
    if plan.shapes:
        # One profile for all shapes, tuned for the largest. Without it an engine is built anew whenever a shape lies
        # outside those seen so far, which takes minutes.
        smallest, largest = _bounds(plan.shapes)
        options |= {
            "trt_profile_min_shapes": _profile(smallest),
            "trt_profile_opt_shapes": _profile(largest),
            "trt_profile_max_shapes": _profile(largest),
        }
    return options


def _bounds(shapes: tuple[Shape, ...]) -> tuple[Shape, Shape]:
    pictures, heights, widths = zip(*shapes, strict=True)
    smallest = (min(pictures), min(heights), min(widths))
    return smallest, (max(pictures), max(heights), max(widths))


def _profile(shape: Shape) -> str:
    return f"{PIXELS}:{'x'.join(map(str, (*shape, 3)))}"
