"""The text encoder, and the connectors behind it."""

import mlx.core as mx

from ltx_bench.clips import noise
from ltx_bench.flops import connectors_flops, gemma_flops
from ltx_bench.items import Item
from ltx_bench.networks import build, nbytes
from ltx_bench.works.base import Prepared, Setup, Work


def gemma(setup: Setup, item: Item) -> Prepared:
    """Token ids to the hidden states of all layers."""
    config = setup.config(item)
    network = build("text_encoder", config, setup.dtype)

    def work(item: Item) -> Work:
        vocabulary = config["gemma"]["vocab_size"]
        ids = mx.random.randint(0, vocabulary, (1, item.count), key=mx.random.key(0))
        mx.eval(ids)
        return Work(lambda: network(ids), gemma_flops(config, item.count))

    return Prepared(work, nbytes(network))


def connectors(setup: Setup, item: Item) -> Prepared:
    """The hidden states of all layers to the text of both streams."""
    config = setup.config(item)
    network = build("embeddings_processor", config, setup.dtype)

    def work(item: Item) -> Work:
        width, layers = config["gemma"]["hidden_size"], config["gemma"]["num_hidden_layers"]
        states = [noise((1, item.count, width), setup.dtype, key) for key in range(layers + 1)]
        return Work(
            lambda: network.process_hidden_states(states, item.count),
            connectors_flops(config, item.count, item.count),
        )

    return Prepared(work, nbytes(network))
