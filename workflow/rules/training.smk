"""Networks that are trained, for accuracy or for time, and what became of published answers."""

RECORDS["implementation"] = (
    "<results>/records/implementation/device-{device}/shape-{shape}/occasion-{occasion}.json"
)
RECORDS["activation"] = "<results>/records/activation/device-{device}/activation-{activation}.json"
RECORDS["steps"] = "<results>/records/steps/device-{device}/occasion-{occasion}.json"
RECORDS["loader"] = "<results>/records/loader/device-{device}/occasion-{occasion}.json"
RECORDS["initialization"] = (
    "<results>/records/initialization/device-{device}/initialization-{initialization}/depth-{depth}.json"
)
RECORDS["perceptron"] = (
    "<results>/records/perceptron/device-{device}/hidden-{hidden}/rate-{rate}.json"
)
RECORDS["search"] = "<results>/records/search/device-{device}/strategy-{strategy}.json"
RECORDS["precision"] = "<results>/records/precision/device-{device}/precision-{precision}.json"
RECORDS["precision_steps"] = (
    "<results>/records/precision_steps/device-{device}/occasion-{occasion}.json"
)
RECORDS["throughput"] = "<results>/records/throughput/device-{device}/occasion-{occasion}.json"
RECORDS["scaling"] = "<results>/records/scaling/device-{device}/batch-{batch}.json"
RECORDS["reproduction"] = (
    "<results>/records/reproduction/device-{device}/exercise-{exercise}/occasion-{occasion}.json"
)


use rule measure as measure_activation with:
    """Train with one activation: tune its rate, then one run per seed."""
    input:
        script="<scripts>/measure_activation.py",
        library=sources("measure_activation.py"),
        dataset=DATASET,
    output:
        RECORDS["activation"],
    log:
        "<logs>/activation/device-{device}/activation-{activation}.log",
    params:
        settings=settings("activation"),


use rule measure_alone as measure_steps with:
    """Time a step of training with every activation, with nothing beside it."""
    input:
        script="<scripts>/measure_steps.py",
        library=sources("measure_steps.py"),
        dataset=DATASET,
    output:
        RECORDS["steps"],
    log:
        "<logs>/steps/device-{device}/occasion-{occasion}.log",
    params:
        settings=settings("steps"),


use rule measure_alone as measure_loader with:
    """Time a pass over images by how many workers load them."""
    input:
        script="<scripts>/measure_loader.py",
        library=sources("measure_loader.py"),
        dataset=DATASET,
    output:
        RECORDS["loader"],
    log:
        "<logs>/loader/device-{device}/occasion-{occasion}.log",
    params:
        settings=settings("loader"),


use rule measure as measure_initialization with:
    """Train from one initialisation at one depth: one run per seed."""
    input:
        script="<scripts>/measure_initialization.py",
        library=sources("measure_initialization.py"),
        dataset=DATASET,
    output:
        RECORDS["initialization"],
    log:
        "<logs>/initialization/device-{device}/initialization-{initialization}/depth-{depth}.log",
    params:
        settings=settings("initialization"),


use rule measure_alone as measure_implementation with:
    """Time a step of one network and batch in every implementation."""
    input:
        script="<scripts>/measure_implementation.py",
        library=sources("measure_implementation.py"),
        dataset=DATASET,
    output:
        RECORDS["implementation"],
    log:
        "<logs>/implementation/device-{device}/shape-{shape}/occasion-{occasion}.log",
    params:
        settings=settings("implementation"),


use rule measure as measure_perceptron with:
    """Train one network at one rate, one run per seed; several questions share the cells."""
    input:
        script="<scripts>/measure_perceptron.py",
        library=sources("measure_perceptron.py"),
        dataset=DATASET,
    output:
        RECORDS["perceptron"],
    log:
        "<logs>/perceptron/device-{device}/hidden-{hidden}/rate-{rate}.log",
    params:
        settings=settings("perceptron"),


use rule measure as measure_search with:
    """Search rate and width together by one strategy, again for every seed."""
    input:
        script="<scripts>/measure_search.py",
        library=sources("measure_search.py"),
        dataset=DATASET,
    output:
        RECORDS["search"],
    log:
        "<logs>/search/device-{device}/strategy-{strategy}.log",
    params:
        settings=settings("search"),


use rule measure as measure_precision with:
    """Train in one precision: one run per seed."""
    input:
        script="<scripts>/measure_precision.py",
        library=sources("measure_precision.py"),
        dataset=DATASET,
    output:
        RECORDS["precision"],
    log:
        "<logs>/precision/device-{device}/precision-{precision}.log",
    params:
        settings=settings("precision"),


use rule measure_alone as measure_precision_steps with:
    """Time a step of training in every precision, with nothing beside it."""
    input:
        script="<scripts>/measure_precision_steps.py",
        library=sources("measure_precision_steps.py"),
        dataset=DATASET,
    output:
        RECORDS["precision_steps"],
    log:
        "<logs>/precision_steps/device-{device}/occasion-{occasion}.log",
    params:
        settings=settings("precision_steps"),


use rule measure_alone as measure_throughput with:
    """Time a sample at growing batches, in a linear layer and in a step of training."""
    input:
        script="<scripts>/measure_throughput.py",
        library=sources("measure_throughput.py"),
    output:
        RECORDS["throughput"],
    log:
        "<logs>/throughput/device-{device}/occasion-{occasion}.log",
    params:
        settings=settings("throughput"),


use rule measure as measure_scaling with:
    """Train at one batch, the rate by each rule: one run per rule and seed."""
    input:
        script="<scripts>/measure_scaling.py",
        library=sources("measure_scaling.py"),
        dataset=DATASET,
    output:
        RECORDS["scaling"],
    log:
        "<logs>/scaling/device-{device}/batch-{batch}.log",
    params:
        settings=settings("scaling"),


use rule measure_alone as measure_reproduction with:
    """Run one published method as it was described, and the right one beside it."""
    input:
        script="<scripts>/measure_reproduction.py",
        library=sources("measure_reproduction.py"),
        dataset=DATASET,
    output:
        RECORDS["reproduction"],
    log:
        "<logs>/reproduction/device-{device}/exercise-{exercise}/occasion-{occasion}.log",
    params:
        settings=settings("reproduction"),
