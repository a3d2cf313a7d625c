"""Many files on a Dask cluster: a manifest in, a folder of Parquet parts out, which the same command goes on with."""
