SELECT as_of FROM source
