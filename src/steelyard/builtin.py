"""The Registry of what ships: literal tables of addresses, imported when they are used."""

from steelyard.core.registry import Lazy, Registry

registry = Registry(
    {
        "task": {
            "digits": Lazy("steelyard.tasks.builtin:digits"),
            "breast-cancer": Lazy("steelyard.tasks.builtin:breast_cancer"),
            "wine": Lazy("steelyard.tasks.builtin:wine"),
            "diabetes": Lazy("steelyard.tasks.builtin:diabetes"),
            "linear": Lazy("steelyard.tasks.builtin:linear"),
        },
        "family": {
            "baseline": Lazy("steelyard.families.baseline:BASELINE"),
            "linear": Lazy("steelyard.families.linear:LINEAR"),
            "mlp": Lazy("steelyard.families.mlp:MLP"),
            "cnn": Lazy("steelyard.families.cnn:CNN"),
            "resnet": Lazy("steelyard.families.resnet:RESNET"),
            "resnet-bottleneck": Lazy("steelyard.families.resnet:BOTTLENECK"),
            "lenet": Lazy("steelyard.families.lenet:LENET"),
            "mobilenetv2": Lazy("steelyard.families.mobilenet:MOBILENETV2"),
            "efficientnet": Lazy("steelyard.families.mobilenet:EFFICIENTNET"),
            "squeezenet": Lazy("steelyard.families.squeezenet:SQUEEZENET"),
            "vit": Lazy("steelyard.families.vit:VIT"),
            "factorization": Lazy("steelyard.families.factorization:FACTORIZATION"),
        },
        "step": {
            "clean": Lazy("steelyard.steps.clean:CLEAN"),
            "quantize": Lazy("steelyard.steps.quantize:QUANTIZE"),
            "encode": Lazy("steelyard.steps.encode:ENCODE"),
        },
        "module_step": {
            "prune": Lazy("steelyard.steps.prune:PRUNE"),
            "factorize": Lazy("steelyard.steps.factorize:FACTORIZE"),
            "distill": Lazy("steelyard.steps.distill:DISTILL"),
            "sparsify": Lazy("steelyard.steps.sparsify:SPARSIFY"),
            "share": Lazy("steelyard.steps.share:SHARE"),
        },
        "runtime": {
            "onnxruntime": Lazy("steelyard.runtimes.onnxruntime.run:RUNTIME"),
            "openvino": Lazy("steelyard.runtimes.openvino.run:RUNTIME"),
            "litert": Lazy("steelyard.runtimes.litert.run:RUNTIME"),
            "executorch": Lazy("steelyard.runtimes.executorch.run:RUNTIME"),
            "torch": Lazy("steelyard.runtimes.torch.run:RUNTIME"),
        },
        "exporter": {
            "onnxruntime": Lazy("steelyard.runtimes.onnxruntime.export:EXPORTER"),
            "openvino": Lazy("steelyard.runtimes.openvino.export:EXPORTER"),
            "litert": Lazy("steelyard.runtimes.litert.export:EXPORTER"),
            "executorch": Lazy("steelyard.runtimes.executorch.export:EXPORTER"),
            "torch": Lazy("steelyard.runtimes.torch.export:EXPORTER"),
        },
        "strategy": {
            "elastic": Lazy("steelyard.strategies.elastic:ELASTIC"),
            "tpe": Lazy("steelyard.strategies.sampled:TPE"),
            "nsga2": Lazy("steelyard.strategies.sampled:NSGA2"),
            "random": Lazy("steelyard.strategies.uniform:RANDOM"),
            "grid": Lazy("steelyard.strategies.grid:GRID"),
            "grow": Lazy("steelyard.strategies.grow:GROW"),
            "ga": Lazy("steelyard.strategies.genetic:GENETIC"),
            "compound": Lazy("steelyard.strategies.compound:COMPOUND"),
            "shrink": Lazy("steelyard.strategies.shrink:SHRINK"),
        },
    }
)
