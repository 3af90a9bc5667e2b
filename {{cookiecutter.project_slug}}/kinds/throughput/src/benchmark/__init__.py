"""What is benchmarked: params, dataset, predict, metrics."""
